"""One source's recorder against a real camera: windows, the host's clock, a host that does not keep up, a
microphone that opens late.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from recorder.capture.camera import CameraAddress, CameraLink, Inbox, Opened
from recorder.capture.health import HealthMonitor, HealthTerms
from recorder.capture.microphone_events import MICROPHONE_RATE, SoundBlock
from recorder.chain import read_manifest
from recorder.health_rules import HostFacts
from recorder.host_clock import ClockTrust, monotonic_us, wall_minus_monotonic_us
from recorder.host_watch import HostWatch
from recorder.intervals import Interval
from recorder.ledger import Ledger
from recorder.manifest import GapManifest, SegmentManifest
from recorder.recording import Recording, RecordingTerms
from recorder.room_sound import RoomSound
from recorder.session import Session
from recorder.skews import Skews
from recorder.source import SourceRecorder
from recorder.source_hardware import SourceHardware
from recorder.spool import Spool
from simulator.control import Simulator
from simulator.picture import capture_time_us
from tests.integration.agent_rig import LOOP_FRAMES, SEGMENT_US, decode
from tests.integration.ingest_double import IngestDouble, configuration


@pytest.fixture(scope="module")
def camera():
    with Simulator(("108",)) as simulator:
        yield simulator


@pytest.fixture
def room(camera, tmp_path):
    return IngestDouble(tmp_path, configuration(camera.url("108")), port=1)


@pytest.fixture
def spool(room, tmp_path):
    return Spool(tmp_path / "spool", room.agent_key(), limit_bytes=10**9)


class Host(HostWatch):
    """A host whose clock can be set and distrusted."""

    def __init__(self) -> None:
        self.told = ClockTrust(1000, estimated=False)
        self.set_by_us = 0
        super().__init__(lambda: self.told)

    @property
    def trust(self) -> ClockTrust:
        return self.told

    def wall_offset_us(self) -> int:
        return wall_minus_monotonic_us() + self.set_by_us

    def stepped_since(self, wall_offset_us: int) -> bool:
        return abs(self.wall_offset_us() - wall_offset_us) > 50_000


class Recorder:
    """A source's recorder with its thread; `manifests` are on disk, because nobody ships them."""

    def __init__(self, camera, room, spool, host, *, current=None, health=None, microphone=None):
        self.spool = spool
        self.recorder = SourceRecorder(
            SourceHardware("main", CameraAddress(camera.url("108"), None), microphone),
            spool=spool,
            skews=Skews(spool.root / "clocks.json"),
            configuration=current or (lambda: room.configuration),
            host=host,
            segment_us=SEGMENT_US,
            boot_id="boot",
            health=health,
        )

    def __enter__(self):
        self.recorder.start()
        return self

    def __exit__(self, *_):
        self.recorder.stop()
        self.recorder.join(5)
        assert not self.recorder.is_alive()

    @property
    def manifests(self):
        return [read_manifest(entry.path).manifest for entry in self.spool.entries()]

    def segments(self):
        return [m for m in self.manifests if isinstance(m, SegmentManifest)]

    def gaps(self, cause):
        return [m for m in self.manifests if isinstance(m, GapManifest) and m.cause == cause]

    def until(self, condition, what, timeout_s=15):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, (
                what,
                [(m.kind, getattr(m, "cause", "")) for m in self.manifests],
            )
            time.sleep(0.05)


def now_us():
    return time.time_ns() // 1000


def test_nothing_outside_the_window_reaches_the_disk(camera, room, spool):
    """By recorded timestamps, of picture and sound, and by the bar codes."""
    chain = spool.chain("main")
    ledger = Ledger(spool, chain, lambda: room.configuration, now_us())
    window = Interval(now_us() + 2_500_000, now_us() + 6_000_000)
    terms = RecordingTerms(
        configuration_version=lambda: 1,
        av_offset_us=lambda: 0,
        segment_us=SEGMENT_US,
        window=lambda: window,
        clock_trust=lambda: (1000, False),
        wall_offset_us=wall_minus_monotonic_us,
        may_record=lambda: None,
    )
    inbox = Inbox()
    link = CameraLink(CameraAddress(camera.url("108"), None), inbox, "main")
    link.start()
    link.want(wanted=True)
    recording = Recording(ledger, terms, "main", alone=False)
    sound = RoomSound(None, recording.sound, opened_us=monotonic_us())
    session = None
    until = time.monotonic() + 7.5
    while time.monotonic() < until:
        item = inbox.take(0.2)
        if isinstance(item, tuple) and isinstance(item[0], Opened):
            session = Session(item[0], item[1], recording, sound, "main", has_microphone=False)
        elif isinstance(item, list) and session:
            for packet, arrival_us in item:
                session.take(packet, arrival_us)
    link.stop()
    sound.finish()
    recording.end()
    link.join(3)

    entries = [entry for entry in spool.entries() if entry.is_segment]
    assert len(entries) >= 2
    for entry in entries:
        manifest = read_manifest(entry.path).manifest
        assert window.start_us <= manifest.start_us
        assert manifest.end_us <= window.end_us
        seen = decode(entry.path)
        for number in seen.numbers:
            taken_us = capture_time_us(number, manifest.start_us, LOOP_FRAMES // 25, 25)
            assert window.start_us - 120_000 <= taken_us < window.end_us
        video, audio = manifest.tracks
        zero_us = manifest.start_us - video.start_ticks * 1_000_000 // video.timescale
        sound_us = [
            zero_us + t * 1_000_000 // audio.timescale
            for t in (audio.start_ticks, audio.start_ticks + audio.duration_ticks)
        ]
        assert window.start_us <= sound_us[0]
        assert sound_us[1] <= window.end_us + 1000
    # The first keyframe inside, and all of the rest.
    first, last = (read_manifest(entries[n].path).manifest for n in (0, -1))
    assert first.start_us - window.start_us < 1_100_000
    assert window.end_us - last.end_us < 100_000


def test_beyond_a_minute_of_uncertainty_nothing_is_recorded(camera, room, spool):
    host = Host()
    host.told = ClockTrust(61_000_000, estimated=True)
    with Recorder(camera, room, spool, host) as recording:
        time.sleep(2.5)
        assert recording.recorder.status.state == "fault"
        assert recording.recorder.status.cause == "clock_unknown"
        assert recording.segments() == []
        host.told = ClockTrust(1_000_000, estimated=True)
        recording.until(recording.segments, "footage with a better clock")
    assert recording.segments()[0].clock.estimated
    assert recording.segments()[0].clock.uncertainty_us == 1_000_000
    assert recording.gaps("clock_unknown")


def test_a_clock_that_is_set_ends_the_run_with_a_gap(camera, room, spool):
    host = Host()
    with Recorder(camera, room, spool, host) as recording:
        recording.until(recording.segments, "footage")
        host.set_by_us = 3_600_000_000
        recording.until(lambda: recording.gaps("clock_step"), "a gap")
        recording.until(
            lambda: recording.segments()[-1].start_us > now_us() + 3_000_000_000, "footage on the new clock"
        )
    before = [m for m in recording.segments() if m.start_us < now_us() + 1_000_000_000]
    after = [m for m in recording.segments() if m.start_us > now_us() + 1_000_000_000]
    assert {m.run for m in before}.isdisjoint({m.run for m in after})
    # This machine's own clock was not set: a recorder that looks at it before it ends tells that as well.
    gaps = [gap for gap in recording.gaps("clock_step") if gap.detail == "the host's clock was set"]
    # An hour ahead is another date between 23:00 and midnight: the gap is then two, one for each room-day.
    joints = [before[-1].end_us, *(gap.end_us for gap in gaps)]
    assert [gap.start_us for gap in gaps] == joints[:-1]
    assert joints[-1] == after[0].start_us
    assert all(gap.tracks == ["video", "audio"] for gap in gaps)


def test_a_microphone_that_opens_after_the_first_picture_was_not_lost(room, spool):
    shape = {"size": "640x360", "bitrate_kbps": 600, "loop_s": 8}
    with (
        Simulator(("108",), formats={"108": "audio=none"}, **shape) as silent,
        Recorder(silent, room, spool, Host(), microphone="mic") as recording,
    ):
        recording.until(lambda: recording.recorder.status.state == "recording", "pictures")
        opened_us = monotonic_us()
        for number in range(1, 16):
            time.sleep(0.1)
            count = number * MICROPHONE_RATE // 10
            samples = bytes(2 * MICROPHONE_RATE // 10)
            arrival_us = opened_us + number * 100_000
            recording.recorder.hear(SoundBlock(samples, count, arrival_us, 1, overflow=False))
    opened_us += wall_minus_monotonic_us()
    # More than one where the picture's segment ended meanwhile.
    gaps = [gap for gap in recording.gaps("opening") if gap.tracks == ["audio"]]
    assert abs(gaps[-1].end_us - opened_us) < 100_000
    assert all(before.end_us == after.start_us for before, after in pairwise(gaps))
    assert recording.gaps("microphone_lost") == []


class Defective(HealthMonitor):
    """Raises what nobody expects, when it is shown a keyframe for the first time."""

    def __init__(self):
        facts = HostFacts(
            disk_free_bytes=0,
            spool_bytes=0,
            spool_limit_bytes=1,
            spool_age_us=0,
            clock_uncertainty_us=0,
            clock_estimated=False,
            temperature_c=None,
        )
        super().__init__(lambda: facts, HealthTerms())
        self.was_shown = False

    def wants_keyframe(self, source, now_us):
        del source, now_us
        first, self.was_shown = not self.was_shown, True
        if first:
            raise KeyError
        return False


def test_a_defect_costs_the_run_and_no_more(camera, room, spool):
    with Recorder(camera, room, spool, Host(), health=Defective()) as recording:
        recording.until(recording.segments, "another run")
    assert {gap.detail for gap in recording.gaps("unknown")} == {"a defect of the recorder: KeyError"}


def test_a_host_that_does_not_keep_up_drops_whole_and_says_so(camera, room, spool):
    """The recorder's thread hangs for much longer than the inbox holds, which is about six seconds."""
    hangs = []

    def current():
        if hangs:
            time.sleep(hangs.pop())
        return room.configuration

    def lost(track):
        return [gap for gap in recording.gaps("overload") if track in gap.tracks]

    with Recorder(camera, room, spool, Host(), current=current) as recording:
        recording.until(recording.segments, "footage")
        hangs.append(12.0)
        recording.until(lambda: lost("video") and lost("audio"), "gaps of both tracks", timeout_s=40)
    assert 1_000_000 < lost("video")[0].end_us - lost("video")[0].start_us < 12_500_000
    assert monotonic_us() - recording.recorder.beat_us < 60_000_000
    for entry in spool.entries():
        if entry.is_segment:
            decode(entry.path)
