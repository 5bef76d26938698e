"""What is fuzzed: each target takes any bytes and raises nothing but a defect."""

from __future__ import annotations

import contextlib

from archive.mp4.boxes import Mp4Error
from archive.mp4.codec import aac_lc, codec_of, coding_of
from archive.mp4.index import SegmentIndex
from archive.mp4.reader import find_manifest, read_index
from recorder.manifest import ManifestError, decode, decode_header


def read_segment(data: bytes) -> None:
    """A file as it arrives: an index inside its bounds that comes back from its bytes, or Mp4Error."""

    def pread(at: int, length: int) -> bytes:
        return data[at : at + length]

    with contextlib.suppress(Mp4Error):
        find_manifest(pread, len(data))
    with contextlib.suppress(Mp4Error):
        index = read_index(pread, len(data))
        assert sum(int(track.size.sum()) for track in index.tracks) <= len(data)
        for track in index.tracks:
            assert (track.offset >= 0).all()
            assert (track.offset + track.size <= len(data)).all()
        assert SegmentIndex.from_bytes(index.to_bytes()).digest == index.digest
        look_at_codecs(index)


def look_at_codecs(index: SegmentIndex) -> None:
    for track in index.tracks:
        with contextlib.suppress(Mp4Error):
            coding_of(track)
            aac_lc(codec_of(track))


def read_sample_index(data: bytes) -> None:
    with contextlib.suppress(Mp4Error):
        look_at_codecs(SegmentIndex.from_bytes(data))


def read_manifest(data: bytes) -> None:
    """As the last box of a file bears it, and as the header does."""
    with contextlib.suppress(ManifestError):
        assert decode(data).encoded == data
    with contextlib.suppress(ManifestError):
        decode_header(data.decode("latin-1"))


TARGETS = {"segment": read_segment, "index": read_sample_index, "manifest": read_manifest}
