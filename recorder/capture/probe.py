"""A short look at what a camera sends, for whoever sets it up."""

from __future__ import annotations

import time
from typing import Any

import av

from recorder.capture.camera import Address, CameraError


def probe(address: Address, seconds: float) -> dict[str, Any]:
    """Reads for that long. Raises CameraError."""
    container = address.open()
    try:
        video = container.streams.video[0] if container.streams.video else None
        audio = container.streams.audio[0] if container.streams.audio else None
        pictures = keyframes = sounds = total = 0
        reported = False
        until = time.monotonic() + seconds
        for packet in container.demux():
            if packet.size == 0 or time.monotonic() > until:
                break
            total += packet.size
            reported = reported or packet.has_sidedata("prft")
            if video is not None and packet.stream_index == video.index:
                pictures += 1
                keyframes += packet.is_keyframe
            else:
                sounds += 1
    except (av.FFmpegError, OSError) as error:
        raise CameraError.of(error) from error
    finally:
        container.close()
    return {
        "video": video.codec_context.name if video else None,
        "width": video.codec_context.width if video else None,
        "height": video.codec_context.height if video else None,
        "fps": round(pictures / seconds, 1),
        "keyframes": keyframes,
        "audio": audio.codec_context.name if audio else None,
        "audio_rate": audio.codec_context.sample_rate if audio else None,
        "audio_packets": sounds,
        "kbit_s": round(total * 8 / 1000 / seconds),
        "sender_reports": reported,
    }
