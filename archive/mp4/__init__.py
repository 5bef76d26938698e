"""ISO base media files (MP4): stored segments in, virtual clips out. No decoder is ever needed here."""
