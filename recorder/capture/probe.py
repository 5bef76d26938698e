"""A short look at what a camera sends, for whoever sets it up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import av

from recorder.capture.camera import Address, CameraError
from recorder.capture.decoding import codec_name, why_no_sound


@dataclass
class Pictures:
    """Presentation times in ticks of `tick_s` seconds, in the order of decoding; None where unknown."""

    tick_s: float
    shown: list[int | None] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)  # places in `shown`

    def facts(self) -> dict[str, Any]:
        """`gop_frames` is None until two keyframes were seen: the distance is longer than the look."""
        known = [at for at in self.shown if at is not None]
        steps = [after - before for before, after in _pairs(sorted(known)) if after > before]
        frame_s = median(steps) * self.tick_s if steps else 0
        # By time, not by counting: a picture that was lost on the way belongs to its group.
        begun = [at for place in self.keyframes if (at := self.shown[place]) is not None]
        groups = [after - before for before, after in _pairs(begun) if after > before]
        gop_s = median(groups) * self.tick_s if groups else None
        return {
            "fps": round(1 / frame_s, 1) if frame_s else None,
            "gop_frames": round(gop_s / frame_s) if gop_s and frame_s else None,
            "gop_s": round(gop_s, 2) if gop_s else None,
            # A picture that is decoded later than one that is shown after it.
            "b_frames": any(after < before for before, after in _pairs(known)),
        }


def probe(address: Address, seconds: float) -> dict[str, Any]:
    """Reads for that long. Raises CameraError."""
    container = address.open()
    try:
        video = container.streams.video[0] if container.streams.video else None
        audio = container.streams.audio[0] if container.streams.audio else None
        pictures = Pictures(float(video.time_base) if video is not None and video.time_base else 0.0)
        sounds = total = 0
        reported = False
        until = time.monotonic() + seconds
        for packet in container.demux():
            if packet.size == 0 or time.monotonic() > until:
                break
            total += packet.size
            reported = reported or packet.has_sidedata("prft")
            if video is not None and packet.stream_index == video.index:
                if packet.is_keyframe:
                    pictures.keyframes.append(len(pictures.shown))
                pictures.shown.append(packet.pts)
            elif audio is not None and packet.stream_index == audio.index:
                sounds += 1
    except (av.FFmpegError, OSError) as error:
        raise CameraError.of(error) from error
    finally:
        container.close()
    size = video.codec_context if video is not None else None
    sound = audio.codec_context if audio is not None else None
    return {
        "transport": address.transport,
        "video": codec_name(video) if video is not None else None,
        "width": size.width if size else None,
        "height": size.height if size else None,
        **pictures.facts(),
        "pictures": len(pictures.shown),
        "keyframes": len(pictures.keyframes),
        "audio": codec_name(audio) if audio is not None else None,
        "audio_rate": sound.sample_rate if sound else None,
        "audio_channels": sound.layout.nb_channels if sound else None,
        "audio_packets": sounds,
        "no_sound": why_no_sound(audio) or None,
        "kbit_s": round(total * 8 / 1000 / seconds),
        "sender_reports": reported,
    }


def _pairs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(numbers))
