"""The picture of a simulated camera: a loop of H.264 or H.265, encoded once and kept.

Encoding while serving would cost 18 % of a core per camera, sending what is encoded costs 1 %. So the loop
is encoded on first need, in superfast time, and cached in a directory under a name that holds every
parameter and a digest of the code that drew it: a changed scene makes a new file, never a stale one.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

import av
import av.error

from recorder.errors import ProtokolError
from simulator import flaws, picture
from simulator.flaws import Look

MAX_FRAMES = 1 << 16  # what the bar code can tell


class MediaError(ProtokolError):
    """The loop cannot be encoded, or the cached one cannot be read."""


class VideoCodec(StrEnum):
    H264 = "h264"
    H265 = "h265"


@dataclass(frozen=True)
class VideoSpec:
    """What the camera sends; equal specs share one cached loop.

    `loop_s`: length of the loop in whole seconds; position in it is the unix time modulo `loop_s`, and
    the 16-bit bar code bounds it. `open_gop`: pictures with B-frames may refer across a keyframe (in H.265
    a CRA picture with RASL pictures behind it); only the loop's own seam stays closed.
    """

    width: int = 1280
    height: int = 720
    fps: int = 25
    bitrate_kbps: int = 1800
    gop_frames: int = 25
    b_frames: int = 0
    loop_s: int = 60
    codec: VideoCodec = VideoCodec.H264
    open_gop: bool = False
    look: Look = Look.WELL

    def __post_init__(self) -> None:
        for name, low, high in (
            ("width", 160, 3840),
            ("height", 120, 2160),
            ("fps", 1, 60),
            ("bitrate_kbps", 100, 50_000),
            ("gop_frames", 1, 1000),
            ("b_frames", 0, 4),
            ("loop_s", 1, 3600),
        ):
            if not low <= getattr(self, name) <= high:
                raise MediaError(f"{name} must be {low} to {high}, not {getattr(self, name)}")
        if self.frames > MAX_FRAMES:
            raise MediaError(f"a loop of {self.frames} frames is longer than {MAX_FRAMES}; shorten loop_s")
        if self.width % 2 or self.height % 2:
            raise MediaError(f"width and height must be even, not {self.width}x{self.height}")

    @property
    def frames(self) -> int:
        return self.loop_s * self.fps


def parse_size(text: str) -> tuple[int, int]:
    """`1280x720` → (1280, 720). Raises MediaError."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise MediaError(f"not a picture size: {text[:40]!r}; write it as 1280x720")
    return int(width), int(height)


@dataclass(frozen=True)
class AccessUnit:
    """One coded picture, NAL units length-prefixed; `number` is its place in display order."""

    data: bytes
    number: int
    is_keyframe: bool


@dataclass(frozen=True)
class VideoLoop:
    """The loop in decode order. `codec_data` is the avcC or hvcC record.

    `reorder_frames`: a picture is sent that many frames after the one that decodes at its place would
    be taken, because pictures between (B-frames) had to be taken first; 0 without B-frames.
    """

    spec: VideoSpec
    codec_data: bytes
    units: tuple[AccessUnit, ...]
    reorder_frames: int


def default_media_dir() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "protokol" / "simulator"


def load_video(spec: VideoSpec, media_dir: Path) -> VideoLoop:
    """The loop, from the cache or encoded into it (a minute of 720p: 6 CPU-seconds of H.264, 30 of H.265).

    Processes that need the same loop at once wait for the one that encodes it. Raises MediaError.
    """
    path = media_dir / _cache_name(spec)
    try:
        media_dir.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if not path.exists():
                _encode_to(spec, path)
                for stale in media_dir.glob(f"{_parameters(spec)}*"):
                    if stale.stem != path.stem:
                        stale.unlink(missing_ok=True)  # drawn by other code than this
        return _read(spec, path)
    except OSError as error:
        raise MediaError(
            f"cannot keep the camera's loop in {media_dir}: {error}; choose --media-dir"
        ) from error
    except av.error.FFmpegError as error:
        raise MediaError(f"cannot make or read {path}: {error}; remove it and try again") from error


def _cache_name(spec: VideoSpec) -> str:
    code = Path(picture.__file__).read_text("utf-8") + inspect.getsource(_encode)
    if spec.look is not Look.WELL:
        code += Path(flaws.__file__).read_text("utf-8")
    return f"{_parameters(spec)}{hashlib.sha256(code.encode()).hexdigest()[:10]}.mp4"


def _parameters(spec: VideoSpec) -> str:
    gop = f"{'opengop' if spec.open_gop else 'gop'}{spec.gop_frames}"
    flaw = "" if spec.look is Look.WELL else f"{spec.look}-"
    return (
        f"{flaw}{spec.codec}-{spec.width}x{spec.height}-{spec.fps}fps-{spec.bitrate_kbps}k-{gop}"
        f"-b{spec.b_frames}-{spec.loop_s}s-"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _encode_to(spec: VideoSpec, path: Path) -> None:
    """Durable and whole under its name on return, or not there at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    os.close(descriptor)
    try:
        _encode(spec, temporary)
        with open(temporary, "rb") as written:  # noqa: PTH123 -- mkstemp gives a str
            os.fsync(written.fileno())
        os.replace(temporary, path)  # noqa: PTH105 -- as above
    finally:
        Path(temporary).unlink(missing_ok=True)


def _encode(spec: VideoSpec, path: str) -> None:
    painter = flaws.FlawedPainter(spec.look, spec.width, spec.height, spec.fps)
    h265 = spec.codec is VideoCodec.H265
    # Constant rate, keyframes only where the GOP says: like a camera's encoder.
    params = (
        f"keyint={spec.gop_frames}:min-keyint={spec.gop_frames}:scenecut=0:open-gop={int(spec.open_gop)}"
        f":bframes={spec.b_frames}:vbv-maxrate={spec.bitrate_kbps}:vbv-bufsize={spec.bitrate_kbps}"
    )
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx265" if h265 else "libx264", rate=spec.fps)
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, "yuv420p"
        stream.bit_rate = spec.bitrate_kbps * 1000
        stream.codec_context.time_base = Fraction(1, spec.fps)
        stream.codec_context.gop_size = spec.gop_frames
        stream.codec_context.max_b_frames = spec.b_frames
        # One slice a picture: the payloader sends parameter sets before each slice of a keyframe, and
        # would cut it in two.
        stream.codec_context.thread_type = "FRAME"
        stream.codec_context.options = (
            {"preset": "ultrafast", "x265-params": f"{params}:log-level=none"}
            if h265
            else {"preset": "superfast", "x264-params": params}
        )
        for number in range(spec.frames):
            frame = av.VideoFrame.from_ndarray(painter.paint(number), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, spec.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _read(spec: VideoSpec, path: Path) -> VideoLoop:
    with av.open(path, options={"ignore_editlist": "1"}) as container:
        stream = container.streams.video[0]
        codec_data = stream.codec_context.extradata
        coded = [
            (packet.pts, bytes(packet), packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        ]
    order = {pts: number for number, pts in enumerate(sorted(pts for pts, _, _ in coded))}
    if codec_data is None or len(order) != spec.frames:
        raise MediaError(
            f"{path} holds {len(order)} frames instead of {spec.frames}; remove it and try again"
        )
    units = tuple(AccessUnit(data, order[pts], is_keyframe) for pts, data, is_keyframe in coded)
    reorder = max(unit.number - place for place, unit in enumerate(units))
    return VideoLoop(spec, codec_data, units, reorder)
