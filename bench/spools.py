"""Spools as a room host has them after hours without its server, made in a moment.

Every segment is chained and signed as an agent does it; their media is one and the same minute.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from recorder.chain import Chain, Link
from recorder.fragments import FileContent
from recorder.ledger import new_id
from recorder.manifest import ClockStatement, SegmentManifest, Track
from recorder.partfile import PartFile, SegmentHead
from recorder.recovery import segment_manifest


def make_media(path: Path, seconds: float, size_mb: float) -> bytes:
    """Fragmented MP4 of that length and about that size in MB (2^20): H.264 at a constant rate, AAC."""
    kbps = max(64, round(size_mb * 2**20 * 8 / seconds / 1000) - 72)
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi"]
    command += ["-i", "testsrc2=size=320x240:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000"]
    command += ["-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0"]
    command += ["-b:v", f"{kbps}k", "-minrate", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps}k"]
    command += ["-x264-params", "nal-hrd=cbr:force-cfr=1", "-c:a", "aac", "-b:a", "64k"]
    command += ["-movflags", "frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer"]
    command += ["-frag_duration", "200000", "-f", "mp4", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.read_bytes()


class Filler:
    """Appends segments of one run (a new one, unless it is named) to a chain."""

    def __init__(
        self, chain: Chain, media: bytes, configuration_version: int, run: str | None = None
    ) -> None:
        self._chain = chain
        self._media = media
        self._version = configuration_version
        self._run = run or new_id()
        self._content = FileContent()
        self._content.feed(media)

    def add(self, start_us: int, end_us: int) -> Path:
        """The segment's file, as the shipper finds it. Raises DiskError."""
        head = SegmentHead(
            segment_id=new_id(),
            run=self._run,
            start_us=start_us,
            configuration_version=self._version,
            clock=ClockStatement(source="sender_report", uncertainty_us=1000, estimated=False),
            av_offset_us=0,
            microphone="camera",
            agent_version="bench",
        )
        part = PartFile.create(self._chain.directory, head)
        part.append(self._media)

        def manifest(link: Link) -> SegmentManifest:
            return segment_manifest(part, self._content, link, end_us, recovered=False)

        signed = self._chain.commit_segment(part, manifest, dict.fromkeys(Track, end_us))
        return self._chain.directory / f"{signed.manifest.sequence:09d}.mp4"
