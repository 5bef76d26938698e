"""Fragmented MP4 by PyAV: packets in, whole fragments out to a part file.

The options are a set; each was measured, and `tests/unit/test_recorder_muxer.py` asserts on
the boxes that they write:

- `frag_discont` with `avoid_negative_ts=disabled`: only both together keep `tfdt` absolute and the
  offset between the tracks;
- `empty_moov` without `delay_moov`: the head of the file is durable before the first fragment;
- `max_interleave_delta`: otherwise silence of one track holds seconds of the other in memory;
- `skip_trailer`: nothing stands between the last fragment and the manifest.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Protocol

import av
import av.logging
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from recorder.errors import ProtokolError
from recorder.fragments import FileContent

av.logging.set_level(av.logging.FATAL)

VIDEO_TIMESCALE = 90_000
_FRAGMENT_US = 200_000
_OPTIONS = {
    # Without negative_cts_offsets a picture with B-frames is written late by their reordering (measured:
    # 40 ms with two of them), while its sound stays where it was.
    "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer+negative_cts_offsets",
    "avoid_negative_ts": "disabled",
    "frag_duration": str(_FRAGMENT_US),
    "flush_packets": "1",
    "max_interleave_delta": "100000",
}
# One write per fragment up to this size; a longer one comes in pieces and is put together here.
_BUFFER_BYTES = 1 << 20
# Raw demuxers by which a keyframe tells its own parameters.
_RAW_FORMATS = {"h264": "h264", "hevc": "hevc"}


class UnsupportedMediaError(ProtokolError):
    """The camera sends something that the archive's files cannot hold."""


class Target(Protocol):
    """Where fragments go; a PartFile."""

    def append(self, data: bytes | memoryview) -> None: ...


class Template:
    """What a stream of the output file is made from. `container` keeps the stream alive."""

    def __init__(self, container: InputContainer, stream: VideoStream | AudioStream, timescale: int) -> None:
        self._container = container
        self.stream = stream
        self.timescale = timescale


def video_template(codec: str, keyframe: bytes) -> Template:
    """From a keyframe that carries its parameter sets in band (Annex B).

    The camera's description of itself may be missing or stale; what the decoder will get is in the
    picture. Raises UnsupportedMediaError.
    """
    raw_format = _RAW_FORMATS.get(codec)
    if raw_format is None:
        raise UnsupportedMediaError(f"the camera sends {codec} video; set it to H.264 or H.265")
    try:
        container = av.open(io.BytesIO(keyframe), "r", format=raw_format)
    except (av.FFmpegError, OSError) as error:
        raise UnsupportedMediaError(f"a {codec} keyframe without parameter sets: {error}") from error
    stream = container.streams.video[0] if container.streams.video else None
    if stream is None or not stream.codec_context.width:
        container.close()
        raise UnsupportedMediaError(f"a {codec} keyframe without parameter sets")
    return Template(container, stream, VIDEO_TIMESCALE)


class _Sink:
    """What PyAV writes to. Never raises into FFmpeg: the first failure is kept in `failure`."""

    name = "segment.mp4"

    def __init__(self, target: Target) -> None:
        self.content = FileContent()
        self.failure: Exception | None = None
        self.fragments = 0
        self._target = target
        self._pending = b""

    def write(self, data: bytes) -> int:
        if self.failure is None:
            whole = self._pending + data if self._pending else bytes(data)
            if _is_complete(whole):
                self._pending = b""
                self._take(whole)
            else:
                self._pending = whole
        return len(data)

    def _take(self, whole: bytes) -> None:
        try:
            self._target.append(whole)
            self.content.feed(whole)
            self.fragments += 1
        except ProtokolError as error:
            self.failure = error


def _is_complete(data: bytes) -> bool:
    """Whether the data is whole boxes, `ftyp` only with its `moov` and `moof` only with its `mdat`."""
    at, last, end = 0, b"", len(data)
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4], "big")
        last = data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return True
        at += size
    return at == end and last not in (b"ftyp", b"moof")


class Muxer:
    """One segment file, of pictures, sound or both. `mux_*` may write a fragment; `close` writes the last.

    All raise what the target raised; after that the muxer takes nothing more.
    """

    def __init__(self, target: Target, video: Template | None, audio: Template | None) -> None:
        self._sink = _Sink(target)
        self._container: OutputContainer = av.open(
            self._sink, "w", format="mp4", options=dict(_OPTIONS), buffer_size=_BUFFER_BYTES
        )
        self._video = self._add(video) if video else None
        self._audio = self._add(audio) if audio else None
        self._container.start_encoding()
        self._raise()

    def _add(self, template: Template) -> Any:
        added = self._container.add_stream_from_template(template.stream, opaque=True)
        added.time_base = Fraction(1, template.timescale)
        return added

    @property
    def content(self) -> FileContent:
        """What is in the file so far."""
        return self._sink.content

    @property
    def fragments(self) -> int:
        return self._sink.fragments

    def mux_video(self, packet: Packet[Any]) -> None:
        """Ticks of VIDEO_TIMESCALE, dts strictly growing."""
        packet.stream = self._video
        self._container.mux_one(packet)
        if self._sink.failure:
            self._raise()

    def mux_audio(self, packet: Packet[Any]) -> None:
        packet.stream = self._audio
        self._container.mux_one(packet)
        if self._sink.failure:
            self._raise()

    def close(self) -> None:
        """Nothing is written after a failure."""
        self._container.close()
        self._raise()

    def _raise(self) -> None:
        if self._sink.failure:
            raise self._sink.failure
