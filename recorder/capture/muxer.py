"""Fragmented MP4: packets in, whole fragments out to a part file.

PyAV writes the head of the file, for it knows codecs; `fragment_writer.py` writes the fragments.
`tests/unit/test_recorder_muxer.py` asserts on the boxes: `tfdt` is absolute, the offset between the
tracks is kept, silence of one track holds nothing of the other in memory, and nothing stands between
the last fragment and the manifest.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Protocol

import av
import av.logging
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from recorder.errors import ProtokolError
from recorder.fragment_writer import TrackWriter, fragment, length_prefixed
from recorder.fragments import FileContent
from recorder.instants import US_PER_SECOND
from recorder.manifest import Track

av.logging.set_level(av.logging.FATAL)

VIDEO_TIMESCALE = 90_000
# A fragment is never longer than this; mostly it ends with the burst that brought it.
_FRAGMENT_US = 200_000
# Less sound is not worth a fragment of its own: while a camera is being opened each packet is a burst.
_WORTH_US = 100_000
_AAC_SAMPLES = 1024
_OPTIONS = {
    # The head is complete before the first fragment, and nothing follows the last.
    "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer+negative_cts_offsets",
    "avoid_negative_ts": "disabled",
}
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
    """What PyAV writes the head to. Never raises into FFmpeg."""

    name = "segment.mp4"

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += bytes(data)
        return len(data)


def head(video: Template | None, audio: Template | None) -> bytes:
    """`ftyp` and `moov` of a file with these tracks. The same for all segments of a run.

    Raises av.FFmpegError, ValueError.
    """
    sink = _Sink()
    container: OutputContainer = av.open(sink, "w", format="mp4", options=dict(_OPTIONS))
    for template in (video, audio):
        if template is not None:
            stream: Any = container.add_stream_from_template(template.stream, opaque=True)
            stream.time_base = Fraction(1, template.timescale)
    container.start_encoding()
    container.close()
    return sink.data


def sound_template(source: InputContainer, stream: AudioStream, timescale: int) -> Template:
    """Of the camera's sound as it comes, on its own: the connection may be closed before the run ends.

    Raises UnsupportedMediaError.
    """
    try:
        file = io.BytesIO(head(None, Template(source, stream, timescale)))
        container = av.open(file, "r", format="mp4")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise UnsupportedMediaError(f"the camera's sound cannot be kept as it is: {error}") from error
    return Template(container, container.streams.audio[0], timescale)


class Muxer:
    """One segment file, of pictures, sound or both. `mux_*` may write a fragment; `close` writes the last.

    All raise what the target raised; after that the muxer takes nothing more.
    """

    def __init__(self, target: Target, video: Template | None, audio: Template | None) -> None:
        self._target = target
        self._failed = False
        self.content = FileContent()
        self.fragments = 0
        self._write(head(video, audio))
        self._video = TrackWriter(1, pictures=True, usual_ticks=VIDEO_TIMESCALE // 25)
        self._tracks = [self._video] if video else []
        self._limit_ticks = _FRAGMENT_US * VIDEO_TIMESCALE // US_PER_SECOND
        self._audio_rate = VIDEO_TIMESCALE
        if audio is not None:
            stated = self.content[Track.AUDIO]
            # The file counts sound in samples, whatever the camera counts it in.
            self._audio_rate = stated.timescale if stated else audio.timescale
            self._audio_timescale = audio.timescale
            # FFmpeg, which wrote the head, numbers tracks from 1.
            self._audio = TrackWriter(2 if video else 1, pictures=False, usual_ticks=_AAC_SAMPLES)
            self._tracks.append(self._audio)
            self._audio_limit_ticks = _FRAGMENT_US * self._audio_rate // US_PER_SECOND

    def mux_video(self, packet: Any) -> None:
        """Ticks of VIDEO_TIMESCALE, dts strictly growing. A keyframe begins a fragment."""
        keyframe, dts = packet.is_keyframe, packet.dts
        track = self._video
        if (keyframe and len(track)) or track.must_end(dts, self._limit_ticks):
            self._write_fragment()
        track.add(length_prefixed(bytes(packet)), packet.pts, dts, sync=keyframe)

    def mux_audio(self, packet: Any) -> None:
        """Ticks of the template's timescale, dts strictly growing."""
        dts = packet.dts
        if self._audio_rate != self._audio_timescale:
            dts = dts * self._audio_rate // self._audio_timescale
        track = self._audio
        if track.must_end(dts, self._audio_limit_ticks):
            self._write_fragment()
        track.add([bytes(packet)], dts, dts, sync=True)

    def flush(self) -> None:
        """Nothing more comes for the moment: what is pending is written. Sound alone waits for a picture,
        but not for long.
        """
        sound = self._tracks[-1]
        if len(self._video) or sound.pending_ticks * US_PER_SECOND >= _WORTH_US * self._audio_rate:
            self._write_fragment()

    def close(self) -> None:
        """Nothing is written after a failure."""
        if any(len(track) for track in self._tracks):
            self._write_fragment()

    def _write_fragment(self) -> None:
        self._write(fragment(self.fragments, self._tracks))

    def _write(self, whole: bytes) -> None:
        if self._failed:
            return
        try:
            self._target.append(whole)
        except ProtokolError:
            self._failed = True
            raise
        self.content.feed(whole)
        self.fragments += 1
