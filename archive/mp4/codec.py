"""What a sample description says: enough to compare two of them, and to know a sound's frames."""

from __future__ import annotations

from dataclasses import dataclass

from archive.mp4 import boxes
from archive.mp4.boxes import Box, Fields, Mp4Error
from archive.mp4.index import TrackIndex

# ISO/IEC 14496-12: the fixed fields of a sample entry, before its boxes.
_VISUAL_ENTRY_BYTES = 78
_SOUND_ENTRY_BYTES = 28
_DECODER_BOXES = (b"avcC", b"hvcC")
# ISO/IEC 14496-1: tags of the descriptors in `esds`.
_ES, _DECODER_CONFIG, _DECODER_SPECIFIC = 3, 4, 5
# ISO/IEC 14496-3, table 1.18.
_SAMPLE_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
)  # fmt: skip
_AAC_LC = 2
_SYNC_EXTENSION, _SBR = 0x2B7, 5


@dataclass(frozen=True, slots=True)
class Codec:
    """Samples of two tracks can be played by one decoder exactly when their codecs are equal.

    `config` is the decoder's configuration alone (avcC, hvcC, AudioSpecificConfig), because bit rates
    that a muxer notes beside it differ from segment to segment.
    """

    format: bytes
    config: bytes
    timescale: int
    width: int
    height: int


# What a person calls the coding of a picture, by its sample entry.
_CODINGS = {b"avc1": "h264", b"avc3": "h264", b"hev1": "h265", b"hvc1": "h265"}


@dataclass(frozen=True, slots=True)
class AacLc:
    """Plain AAC-LC, without band replication: frames of `frame_samples`, all independent of rate."""

    sample_rate: int
    channels: int
    frame_samples: int


def codec_of(track: TrackIndex) -> Codec:
    """Raises Mp4Error where the sample description has not exactly one entry."""
    stsd = track.stsd
    entries = list(boxes.children(stsd, 16, len(stsd))) if len(stsd) > 16 else []
    if len(entries) != 1:
        raise Mp4Error(f"{track.kind}: {len(entries)} sample entries; one is stored")
    entry = entries[0]
    config = _picture_config(stsd, entry) if track.kind == "video" else _sound_config(stsd, entry)
    return Codec(entry.type, config, track.timescale, track.width, track.height)


def coding_of(track: TrackIndex) -> str:
    """`h264`, `h265`, or else the name of the sample entry. Raises Mp4Error as `codec_of`."""
    kind = codec_of(track).format
    return _CODINGS.get(kind) or kind.decode("ascii", "replace")


def aac_lc(codec: Codec) -> AacLc | None:
    """The sound's frame format; None for anything but AAC-LC with one or two channels."""
    if codec.format != b"mp4a" or not codec.config:
        return None
    bits = _Bits(codec.config)
    object_type, rate_index = bits.take(5), bits.take(4)
    if object_type != _AAC_LC or rate_index >= len(_SAMPLE_RATES):
        return None
    channels, short_frames = bits.take(4), bits.take(1)
    depends_on_core, extended = bits.take(1), bits.take(1)
    if channels not in (1, 2) or depends_on_core or extended:
        return None
    if bits.left >= 17 and bits.take(11) == _SYNC_EXTENSION and bits.take(5) == _SBR and bits.take(1):
        return None
    return AacLc(_SAMPLE_RATES[rate_index], channels, 960 if short_frames else 1024)


def _picture_config(stsd: bytes, entry: Box) -> bytes:
    at = entry.start + _VISUAL_ENTRY_BYTES
    for box in boxes.children(stsd, at, entry.end):
        if box.type in _DECODER_BOXES:
            return stsd[box.start : box.end]
    return stsd[entry.start : entry.end]


def _sound_config(stsd: bytes, entry: Box) -> bytes:
    at = entry.start + _SOUND_ENTRY_BYTES
    for box in boxes.children(stsd, at, entry.end):
        if box.type == b"esds":
            return _decoder_specific(Fields(stsd, box))
    return stsd[entry.start : entry.end]


def _decoder_specific(fields: Fields) -> bytes:
    """The AudioSpecificConfig inside an `esds` box."""
    fields.skip(4)
    _descriptor(fields, _ES)
    fields.skip(2)
    flags = fields.uint(1)
    fields.skip(2 if flags & 0x80 else 0)
    fields.skip(fields.uint(1) if flags & 0x40 else 0)
    fields.skip(2 if flags & 0x20 else 0)
    _descriptor(fields, _DECODER_CONFIG)
    fields.skip(13)
    return fields.take(_descriptor(fields, _DECODER_SPECIFIC))


def _descriptor(fields: Fields, tag: int) -> int:
    """Enters a descriptor of that tag; returns its length."""
    if fields.uint(1) != tag:
        raise Mp4Error("the sound's esds box is not what AAC has")
    length = 0
    for _ in range(4):
        byte = fields.uint(1)
        length = length << 7 | byte & 0x7F
        if not byte & 0x80:
            break
    return length


class _Bits:
    """Bits from the most significant on; past the end they are zero, as decoders read them."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self.left = 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        shifted = self._value >> self.left if self.left >= 0 else self._value << -self.left
        return shifted & ((1 << count) - 1)
