"""Invariant 5 over random scripts of faults: every window is exactly footage and gaps, per track."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
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
        st.tuples(st.just("calendar"), st.integers(0, 3), seconds, st.integers(0, 9), st.booleans()),
    ),
    max_size=12,
)


# What the calendar may say: two windows, one of them longer, shorter, moved, none.
CALENDARS = [
    ("10:00-10:02", "10:03-10:20"),
    ("10:00-10:04",),
    ("10:01-10:02", "10:05-10:20"),
    ("23:00-24:00",),
]


def change_calendar(recording, calendar, heard_after_s, unsure_s, was_off):
    """Published now, heard later: by an agent that runs, or by one that was off meanwhile."""
    changed = hours(recording.configuration.version + 1, *CALENDARS[calendar])
    recording.published.append((recording.now_us, changed))
    superseded_us = max(recording.now_us - unsure_s * S, recording.heard_us)
    if was_off:
        recording.crash()
    recording.now_us += heard_after_s * S
    if was_off:
        recording.start()
    # A disk that fails, or a crash, while a change is taken notice of is left out: what the change takes
    # out of the past and nobody had settled is then missing (DESIGN.md).
    recording.chain.faults.clear()
    recording.configuration, recording.superseded_us = changed, superseded_us
    recording.heard_us = recording.now_us
    recording.failing(lambda: recording.ledger.learn(recording.now_us))
    # As the recorder does: a crash would forget the calendar before.
    recording.flush()


def in_force(published):
    """The windows that the server has frozen: each version's from its publication on."""
    whole = Interval(T0, T0 + 3600 * S)
    ends = [at_us for at_us, _ in published[1:]] + [whole.end_us]
    found = []
    for (at_us, each), end_us in zip(published, ends, strict=True):
        if at_us < end_us:
            found += windows_between(each, Interval(at_us, end_us))
    return merge(found)


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
        recording.crash(torn=rest[1])
        recording.now_us += rest[0] * S
        recording.start(rebooted=rest[1])
    elif kind == "calendar":
        change_calendar(recording, *rest)
    elif kind == "restart":
        recording.stop()
        recording.now_us += rest[0] * S
        recording.start()


def run_script(root, script, configuration):
    recording = Recording(root, AGENT_KEY, configuration, T0)
    for event in script:
        try:
            play(recording, event)
        except CrashError as crash:
            recording.crash(torn="before seal" in crash.args)
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


def gaps_of(manifests, track):
    return [m.interval for m in manifests if isinstance(m, GapManifest) and track.value in m.tracks]


def sound_us(segment):
    """How much sound a segment has, by its manifest."""
    return sum(t.duration_ticks * S // t.timescale for t in segment.tracks if t.track == "audio")


def check_account(recording):
    windows = in_force(recording.published)
    signed = recording.manifests()
    check_chain(signed)
    versions = {each.version: each for _, each in recording.published}
    manifests = [each.manifest for each in signed]
    for manifest in manifests:
        # As the archive judges it.
        judge = versions[manifest.configuration_version]
        assert subtract([manifest.interval], windows_between(judge, manifest.interval)) == ()
    footage = [m for m in manifests if isinstance(m, SegmentManifest)]
    segments = [m.interval for m in footage]
    account = intersect(windows, [Interval(T0, recording.now_us)]) if recording.now_us > T0 else ()
    for track in Track:
        gaps = gaps_of(manifests, track)
        assert subtract(account, [*segments, *gaps]) == ()
    gaps = gaps_of(manifests, Track.VIDEO)
    assert intersect(segments, gaps) == ()
    assert sum(gap.duration_us for gap in gaps) == sum(gap.duration_us for gap in merge(gaps))
    # Inside a segment the manifest tells how much sound there is; the rest of it is gaps.
    for segment in footage:
        silent = intersect([segment.interval], gaps_of(manifests, Track.AUDIO))
        missing_us = sum(gap.duration_us for gap in silent)
        assert abs(segment.interval.duration_us - missing_us - sound_us(segment)) < SOUND_JOINT_US


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(events)
# The gap before late sound is on the chain already when the host dies, and the picture's end is not.
@example([("fault", "crash before seal"), ("record", 8, (2, 4))])
def test_windows_are_exactly_footage_and_gaps_after_any_script_of_faults(script):
    root = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        recording = run_script(root, script, hours(1, *CALENDARS[0]))
        check_account(recording)
    finally:
        shutil.rmtree(root)
