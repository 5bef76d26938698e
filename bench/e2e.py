"""How far sound is from picture in a clip that leaves the archive: everything real but the two devices.

A simulated 720p camera and a microphone in a PulseAudio of its own whose clock runs 300 ppm fast; agent,
server and export are the installed commands. Sound and picture are compared by flash and beep in the
exported file.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.installation import MICROPHONE, ROOM, Installation
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval, intersect
from recorder.manifest import GapCause, SegmentManifest, Track
from simulator.control import Simulator
from simulator.measure import Measurement, measure_file
from simulator.microphone import SimulatedMicrophone

PPM = 300.0
_LOOP_FRAMES = 1500
# The first beep of a stretch is not told, and the last may be cut off.
_BEEP_STEP_S = 1.1


def measure(seconds: float) -> dict[str, Any]:
    """Records for `seconds`, then exports all of it as one clip.

    `offset_*_ms` are absolute values but for the median; positive is sound late. `frames_broken`: pictures
    that are not the successor of the one before. `sound_gap_ms`: sound that was lost within the clip, as gap
    records tell; a microphone that opens later than the camera loses none. `beeps_missing`: places where no
    beep follows a second after another. `microphone_part`: how much of the time was the microphone heard, not
    the camera. `stated_*`: as the manifests say.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        Simulator((ROOM,)) as camera,
        SimulatedMicrophone(MICROPHONE, ppm=PPM) as microphone,
        Installation(Path(name), camera.url(ROOM), microphone.environment) as installation,
    ):
        with installation.recording():
            time.sleep(seconds)
        # Of the first run of the agent: shipping what was left may have needed another.
        manifests = _first_stretch(installation.manifests())
        whole = Interval(manifests[0].start_us, manifests[-1].end_us)
        clip = Path(name) / "clip.mp4"
        installation.export(whole, clip)
        gaps = installation.search()["gaps"]
        seen = measure_file(clip)
    silent = [Interval(g["start_us"], g["end_us"]) for g in gaps if _is_lost_sound(g)]
    silent_us = sum(each.duration_us for each in intersect([whole], silent))
    return {
        "seconds": round(whole.duration_us / US_PER_SECOND, 1),
        **_figures(seen),
        "sound_gap_ms": round(silent_us / 1000),
        **_stated(manifests, whole),
    }


def _is_lost_sound(gap: dict[str, Any]) -> bool:
    return Track.AUDIO in gap["tracks"] and gap["cause"] != GapCause.OPENING


def _first_stretch(manifests: Sequence[SegmentManifest]) -> list[SegmentManifest]:
    """Up to the first pause of a second."""
    stretch = list(manifests[:1])
    for manifest in manifests[1:]:
        if manifest.start_us - stretch[-1].end_us > US_PER_SECOND:
            break
        stretch.append(manifest)
    return stretch


def _figures(seen: Measurement) -> dict[str, Any]:
    offsets = np.array(seen.av_offsets_ms)
    numbers = seen.frame_numbers
    return {
        "offsets": len(offsets),
        "offset_median_ms": round(float(np.median(offsets)), 2),
        "offset_p99_ms": round(float(np.percentile(np.abs(offsets), 99)), 2),
        "offset_max_ms": round(float(np.max(np.abs(offsets))), 2),
        "frames": len(numbers),
        "frames_broken": sum(
            a is None or b is None or b != (a + 1) % _LOOP_FRAMES for a, b in itertools.pairwise(numbers)
        ),
        "decode_errors": seen.decode_errors,
        "beeps_missing": sum(b - a > _BEEP_STEP_S for a, b in itertools.pairwise(seen.beep_times_s)),
    }


def _stated(manifests: Sequence[SegmentManifest], whole: Interval) -> dict[str, Any]:
    heard_us = 0
    for manifest in manifests:
        changes = [(manifest.start_us, manifest.microphone)]
        changes += [(switch.at_us, switch.microphone) for switch in manifest.switches]
        for (at_us, device), (until_us, _) in itertools.pairwise([*changes, (manifest.end_us, "")]):
            heard_us += until_us - at_us if device == MICROPHONE else 0
    syncs = [manifest.sync for manifest in manifests if manifest.sync is not None]
    return {
        "microphone_part": round(heard_us / whole.duration_us, 3),
        "stated_offset_max_ms": round(max((abs(s.offset_us) for s in syncs), default=0) / 1000, 2),
        "runs": len({manifest.run for manifest in manifests}),
    }
