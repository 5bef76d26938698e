"""The process that looks at pictures and hears sound: decodes a keyframe, or a second, and measures it.

Apart from the agent, because a decoder and OpenCV weigh 60 MB, may crash on what a camera sends, and may
hang. It holds the last picture of each source in memory, never on a disk, and ends with its parent.

On stdin a JSON line, then as many bytes as it says; on stdout a JSON line, or `{"error"}`:
- `{"source", "codec", "bytes", "show"}` and an Annex B picture. `show`: `"blurred"`, `"clear"` or null.
  Answer: `dark`, `bright`, `detail`, `difference` and what is to be shown (grey JPEG, base64): `blurred`, and
  `clear` beside it where that is asked for.
- `{"source", "sound": {"codec", "rate", "layout", "extradata"}, "sizes"}` and coded packets of these sizes
  (`bytes` together). Answer: `levels`, an object for each full second.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any, BinaryIO, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.video.codeccontext import VideoCodecContext

from recorder.health_rules import Levels
from recorder.sound_levels import SoundLevels

Luma = npt.NDArray[np.uint8]

_NICE = 10
# Detail is looked for in a picture of this width: noise is averaged away, and what is soft there is soft
# for whoever looks at it.
_DETAIL_WIDTH = 320
_GRID = 12
# Below this contrast there is nothing that could have detail.
_MIN_VARIANCE = 4.0
# To see what covers a lens, or where it looks; a meeting is not followed by it.
_CLEAR_WIDTH = 320
_CLEAR_QUALITY = 60
# All that leaves the room host of a picture as a rule: 24 x 14 shades of grey. Two metres from a wide lens a
# face is one of them. What is not there no filter brings back.
_BLURRED_WIDTH = 24
# The edges of those pieces are softened too, or the eye would see shapes in the steps.
_BLUR_SIGMA = 0.75
_BLURRED_QUALITY = 80
# Levels need no more; where a wave is cut off, it is so at half the rate as well.
_SOUND_RATE = 16_000
_MIN_SOUND_RATE = 2000


class UndecodableError(Exception):
    """What came is not one whole picture, or no sound."""


def decode_luma(codec: str, annexb: bytes) -> Luma:
    """Brightness of the first picture in the bytes, (height, width). Raises UndecodableError, also for a
    picture that lacks parts: what a decoder puts in their place is not what the camera saw.
    """
    try:
        decoder = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
        decoder.thread_count = 1
        frames = [*decoder.decode(av.Packet(annexb)), *decoder.decode(None)]
    except (av.FFmpegError, ValueError) as error:
        raise UndecodableError(str(error)) from error
    if not frames:
        raise UndecodableError("no picture in the bytes")
    frame = frames[0]
    if frame.is_corrupt:
        raise UndecodableError("the picture is damaged")
    if frame.format.name not in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "gray"):
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.array(rows[: frame.height, : frame.width])


def measure(luma: Luma, before: Luma | None) -> dict[str, float | None]:
    """What `health_rules.PictureFacts` holds."""
    height, width = luma.shape
    small_height = max(_GRID, round(height * _DETAIL_WIDTH / width))
    small = cv2.resize(luma, (_DETAIL_WIDTH, small_height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    dark, bright = np.percentile(small, (5, 95))
    comparable = before is not None and before.shape == luma.shape
    difference = float(cv2.absdiff(luma, before).mean()) if before is not None and comparable else None
    return {
        "dark": round(float(dark), 1),
        "bright": round(float(bright), 1),
        "detail": round(_detail(small), 6),
        "difference": None if difference is None else round(difference, 4),
    }


def _detail(small: Luma) -> float:
    """Second derivatives in the richest tenth of the picture beyond those in its flattest tenth (which are
    noise), beside its contrast.
    """
    curvature = cv2.Laplacian(small, cv2.CV_32F)
    height, width = (length // _GRID for length in small.shape)
    blocks = curvature[: height * _GRID, : width * _GRID].reshape(_GRID, height, _GRID, width)
    flat, rich = np.percentile(blocks.var(axis=(1, 3)), (10, 90))
    return float((rich - flat) / max(float(small.var()), _MIN_VARIANCE))


def blurred(luma: Luma) -> bytes:
    """A JPEG of 24 pixels' width: whether it is light, and where; nobody can be told from another in it."""
    # In two steps, which takes a third of the time.
    tiny = _of_width(_of_width(luma, _CLEAR_WIDTH), _BLURRED_WIDTH)
    return _jpeg(cv2.GaussianBlur(tiny, (0, 0), _BLUR_SIGMA).astype(np.uint8), _BLURRED_QUALITY)


def clear(luma: Luma) -> bytes:
    """A small JPEG in which a fault can be seen, and people too."""
    return _jpeg(_of_width(luma, _CLEAR_WIDTH), _CLEAR_QUALITY)


def _of_width(luma: Luma, width: int) -> Luma:
    height = max(1, round(luma.shape[0] * width / luma.shape[1]))
    return cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _jpeg(luma: Luma, quality: int) -> bytes:
    _, coded = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return coded.tobytes()


class Ear:
    """Decodes the sound of one source, packet after packet, and measures it."""

    def __init__(self, sound: dict[str, Any]) -> None:
        """`sound` as in a request. Raises UndecodableError."""
        self.sound = sound
        if sound["rate"] < _MIN_SOUND_RATE:
            raise UndecodableError(f"{sound['rate']} samples a second are no sound")
        try:
            self._decoder = cast("AudioCodecContext", av.CodecContext.create(sound["codec"], "r"))
            self._decoder.sample_rate = sound["rate"]
            self._decoder.layout = sound["layout"]
        except (av.FFmpegError, ValueError) as error:
            raise UndecodableError(str(error)) from error
        if sound["extradata"]:
            self._decoder.extradata = base64.b64decode(sound["extradata"])
        rate = min(sound["rate"], _SOUND_RATE)
        self._resampler = AudioResampler("s16", "mono", rate)
        self._levels = SoundLevels(rate)

    def hear(self, coded: bytes) -> list[Levels]:
        """A packet that cannot be decoded is not heard."""
        # ValueError: the camera has changed the format in mid-stream, which ends its run soon.
        with contextlib.suppress(av.FFmpegError, ValueError):
            return [
                second
                for frame in self._decoder.decode(av.Packet(coded))
                for plain in self._resampler.resample(frame)
                for second in self._levels.feed(
                    np.frombuffer(memoryview(plain.planes[0]), np.int16)[: plain.samples]
                )
            ]
        return []


class Child:
    """Answers requests, one after another, until its stdin ends."""

    def __init__(self) -> None:
        self._before: dict[str, Luma] = {}
        self._ears: dict[str, Ear] = {}

    def answer(self, request: dict[str, Any], data: bytes) -> dict[str, Any]:
        try:
            return self._heard(request, data) if "sound" in request else self._seen(request, data)
        except UndecodableError as error:
            return {"error": str(error)[:200]}

    def _heard(self, request: dict[str, Any], data: bytes) -> dict[str, Any]:
        source, sound = request["source"], request["sound"]
        ear = self._ears.get(source)
        if ear is None or ear.sound != sound:
            ear = self._ears[source] = Ear(sound)
        packets = pairwise(accumulate(request["sizes"], initial=0))
        return {"levels": [asdict(each) for start, end in packets for each in ear.hear(data[start:end])]}

    def _seen(self, request: dict[str, Any], annexb: bytes) -> dict[str, Any]:
        source = request["source"]
        before = self._before.pop(source, None)
        luma = decode_luma(request["codec"], annexb)
        found: dict[str, Any] = measure(luma, before)
        self._before[source] = luma
        if request["show"]:
            found["blurred"] = base64.b64encode(blurred(luma)).decode()
        if request["show"] == "clear":
            found["clear"] = base64.b64encode(clear(luma)).decode()
        return found

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        while line := requests.readline():
            request = json.loads(line)
            data = requests.read(request["bytes"])
            if len(data) < request["bytes"]:
                return
            answers.write(json.dumps(self.answer(request, data)).encode() + b"\n")
            answers.flush()


def main() -> None:
    # The agent's unit forbids even this (@resources); 2 ms of a second are little enough without it.
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    cv2.setNumThreads(1)
    Child().serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
