"""Invariant 5 over random scripts of faults: every window is exactly footage and gaps, per track."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.coverage import SOUND_JOINT_US
from recorder.intervals import Interval, intersect, merge, subtract
from recorder.manifest import GapCause, GapManifest, SegmentManifest, Track
from recorder.working_hours import windows_between
from tests.integration.ingest_double import IngestDouble, configuration
from tests.recording_double import CrashError, Recording

S = 1_000_000
# 20 November 2026, 10:00 in Kyiv; minutes are the only windows that a script of seconds can cross.
T0 = 1_795_161_600 * S
CUT_US = 10 * S


def hours(version, *windows):
    return configuration("rtsp://127.0.0.1:9/", version=version).model_copy(
        update={"hours": {"mon-sun": windows}}
    )


AGENT_KEY = IngestDouble(Path(), hours(1, "00:00-24:00"), port=9).agent_key()


seconds = st.integers(1, 45)
faults = st.sampled_from(
    ["seal fails", "gap fails", "save fails", "crash before seal", "crash after seal", "crash before save"]
)
events = st.lists(
    st.one_of(
        st.tuples(st.just("record"), seconds, st.tuples(st.integers(0, 45), st.integers(0, 45))),
        st.tuples(st.just("miss"), seconds, st.sampled_from(list(GapCause))),
        st.tuples(st.just("flush")),
        st.tuples(st.just("fault"), faults),
        st.tuples(st.just("crash"), seconds, st.booleans()),
        st.tuples(st.just("restart"), seconds),
    ),
    max_size=12,
)


def play(recording, event):
    kind, *rest = event
    if kind == "record":
        window = next(
            (w for w in windows_between(recording.configuration, Interval(T0, T0 + 3600 * S))
             if w.contains(recording.now_us)), None,
        )  # fmt: skip
        if window is None:
            recording.now_us += rest[0] * S
        else:
            recording.failing(lambda: recording.record(window, rest[0], rest[1], CUT_US))
    elif kind == "miss":
        recording.miss(rest[1], rest[0])
    elif kind == "flush":
        recording.flush()
    elif kind == "fault":
        recording.chain.faults.append(rest[0])
    elif kind == "crash":
        recording.crash()
        recording.now_us += rest[0] * S
        recording.start(rebooted=rest[1])
    elif kind == "restart":
        recording.stop()
        recording.now_us += rest[0] * S
        recording.start()


def run_script(root, script, configuration):
    recording = Recording(root, AGENT_KEY, configuration, T0)
    for event in script:
        try:
            play(recording, event)
        except CrashError:
            recording.crash()
            recording.now_us += 3 * S
            recording.start()
    recording.chain.faults.clear()
    recording.stop()
    return recording


def check_chain(signed):
    previous = None
    for sequence, each in enumerate(signed):
        assert (each.manifest.sequence, each.manifest.previous) == (sequence, previous)
        previous = each.sha256


def spans(signed, track, kind):
    out = []
    for each in (s.manifest for s in signed):
        if isinstance(each, GapManifest) and kind == "gap" and track.value in each.tracks:
            out.append(each.interval)
        elif isinstance(each, SegmentManifest) and kind == "segment" and track is Track.VIDEO:
            out.append(each.interval)
        elif isinstance(each, SegmentManifest) and kind == "segment":
            video = each.tracks[0]
            for sound in each.tracks[1:]:
                zero_us = each.start_us - video.start_ticks * S // video.timescale
                start_us = zero_us + sound.start_ticks * S // sound.timescale
                out.append((start_us, sound.duration_ticks * S // sound.timescale, each.interval))
    return out


def check_account(recording, windows):
    signed = recording.manifests()
    check_chain(signed)
    for track in Track:
        gaps = spans(signed, track, "gap")
        assert subtract(gaps, windows) == ()
        assert sum(g.duration_us for g in gaps) == sum(g.duration_us for g in merge(gaps))
    account = intersect(windows, [Interval(T0, recording.now_us)]) if recording.now_us > T0 else ()
    segments, gaps = (spans(signed, Track.VIDEO, kind) for kind in ("segment", "gap"))
    assert intersect(segments, gaps) == ()
    assert subtract(account, [*segments, *gaps]) == ()
    gaps = spans(signed, Track.AUDIO, "gap")
    assert subtract(subtract(account, segments), gaps) == () or all(
        hole.duration_us < SOUND_JOINT_US for hole in subtract(subtract(account, segments), gaps)
    )
    # Inside a segment the manifest tells how much sound there is; the rest of it is gaps.
    sounds = {whole: duration for _, duration, whole in spans(signed, Track.AUDIO, "segment")}
    for segment in segments:
        missing = sum(gap.duration_us for gap in intersect([segment], gaps))
        unaccounted = segment.duration_us - missing - sounds.get(segment, 0)
        assert abs(unaccounted) < SOUND_JOINT_US, (segment, missing, sounds.get(segment, 0))


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(events, st.integers(0, 59))
def test_windows_are_exactly_footage_and_gaps_after_any_script_of_faults(script, phase):
    root = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        config = hours(1, "10:00-10:02", "10:03-10:20")
        recording = run_script(root, script, config)
        check_account(recording, windows_between(config, Interval(T0, T0 + 3600 * S)))
    finally:
        shutil.rmtree(root)
