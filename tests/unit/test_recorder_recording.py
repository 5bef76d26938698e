"""Pictures and sound on their way into runs: nothing lost, doubled or outside the window at a joint."""

from __future__ import annotations

import functools
import io
import itertools
import shutil
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder.capture.camera import Opened
from recorder.capture.muxer import head, sound_template
from recorder.capture.sound import ENCODED_RATE
from recorder.chain import read_manifest
from recorder.coverage import SOUND_JOINT_US
from recorder.intervals import Interval, subtract
from recorder.ledger import Ledger
from recorder.manifest import GapManifest, SegmentManifest, Track
from recorder.open_segment import MediaError
from recorder.recording import Recording, RecordingTerms
from recorder.room_sound import RoomSound
from recorder.run import CopiedSound, Picture
from recorder.session import Session
from recorder.spool import Spool
from tests.agent_media import Bytes, mux, pictures, sounds
from tests.integration.ingest_double import IngestDouble, configuration

S = 1_000_000
# 20 November 2026, 10:00 in Kyiv.
T0 = 1_795_161_600 * S
# CLOCK_MONOTONIC then.
M0 = 1000 * S
FRAME_US = 40_000
# Pictures are taken on no sample of sound, and samples on no whole microsecond.
PICTURE_OFF_US = 7
SOUND_OFF = 17
SOUND_OFF_US = SOUND_OFF * S // ENCODED_RATE
BLOCK = ENCODED_RATE // 50
HOUR = Interval(T0, T0 + 3600 * S)
# A frame of AAC, and what rounding to microseconds and to samples does.
FRAME_OF_SOUND_US = 1024 * S // ENCODED_RATE + 5 + PICTURE_OFF_US


CONFIGURATION = configuration("rtsp://127.0.0.1:9/")
AGENT_KEY = IngestDouble(Path(), CONFIGURATION, port=9).agent_key()


@functools.cache
def coded():
    return pictures(1)


class Rig:
    """A recording on a real ledger and spool; `at_us` is CLOCK_MONOTONIC since M0."""

    def __init__(self, root, *, window=HOUR, alone=True, has_camera=True):
        self.spool = Spool(root, AGENT_KEY, limit_bytes=10**9)
        self.ledger = Ledger(self.spool, self.spool.chain("main"), lambda: CONFIGURATION, T0)
        self.wall_offset_us = T0 - M0
        terms = RecordingTerms(
            configuration_version=lambda: 1,
            av_offset_us=lambda: 0,
            segment_us=4 * S,
            window=lambda: window,
            clock_trust=lambda: (0, False),
            wall_offset_us=lambda: self.wall_offset_us,
            may_record=lambda: None,
        )
        self.recording = Recording(self.ledger, terms, "main", alone=alone, has_camera=has_camera)
        self.recording.microphone = "mic"

    def picture(self, at_us):
        number = at_us // FRAME_US
        packet = coded()[number % len(coded())]
        host_us = M0 + at_us + PICTURE_OFF_US
        if packet.is_keyframe:
            self.recording.keyframe(lambda: _picture(packet), host_us, changed=False)
        self.recording.video(packet, host_us, 0, FRAME_US, keyframe=packet.is_keyframe)

    def sound(self, at_us):
        ticks = (M0 + at_us) * ENCODED_RATE // S + SOUND_OFF
        self.recording.sound(tone(ticks, BLOCK), ticks, "mic")

    def copied(self, packet, at_us):
        self.recording.copy(packet, M0 + at_us, 1024 * S / ENCODED_RATE)

    def segments(self):
        manifests = [read_manifest(entry.path).manifest for entry in self.spool.entries()]
        return [each for each in manifests if isinstance(each, SegmentManifest)]

    def silences(self):
        """The gaps after the first picture, in tenths of a second since T0: packets are no finer."""
        manifests = [read_manifest(entry.path).manifest for entry in self.spool.entries()]
        tenths = lambda at_us: round((at_us - T0) * 10 / S)  # noqa: E731
        return [
            (tenths(each.start_us), tenths(each.end_us), each.cause, each.detail)
            for each in manifests
            if isinstance(each, GapManifest) and each.end_us - each.start_us > PICTURE_OFF_US
        ]

    def untold(self):
        """Holes between what the manifests tell of the sound, as the archive will look for them."""
        manifests = [read_manifest(entry.path).manifest for entry in self.spool.entries()]
        told = [
            Interval(each.start_us, each.end_us)
            for each in manifests
            if isinstance(each, SegmentManifest) or Track.AUDIO.value in each.tracks
        ]
        whole = Interval(min(each.start_us for each in told), max(each.end_us for each in told))
        return subtract([whole], told)

    def heard(self):
        """Where each file has its sound, in the order of time, in µs since T0. Sound beyond the end of its
        run is nobody's.
        """
        segments = self.segments()
        ends = {each.run: each.end_us - T0 for each in sorted(segments, key=lambda each: each.end_us)}
        out = []
        for segment in filter(_has_sound, segments):
            began_us, ended_us = _track(segment, Track.AUDIO)
            out.append((began_us, min(ended_us, max(ends[segment.run], began_us))))
        return sorted(out)

    def seen(self):
        return sorted(
            _track(segment, Track.VIDEO) for segment in self.segments() if segment.tracks[0].track == "video"
        )


def tone(ticks, samples):
    """1 kHz."""
    turns = (ticks % ENCODED_RATE + np.arange(samples)) / 48
    return (0.3 * np.sin(2 * np.pi * turns)).astype(np.float32)


def _picture(packet):
    return Picture("h264", bytes(packet))


def _has_sound(segment):
    return segment.tracks[-1].track == "audio"


def _track(segment, track):
    """Media of both tracks lie on one line; a segment begins with the first of its leading track."""
    lead = segment.tracks[0]
    zero_us = segment.start_us - lead.start_ticks * S / lead.timescale
    (stated,) = [each for each in segment.tracks if each.track == track.value]
    start_us = zero_us + stated.start_ticks * S / stated.timescale
    return start_us - T0, start_us + stated.duration_ticks * S / stated.timescale - T0


def play(rig, events):
    """`events`: (when it comes, what to do)."""
    for _, step in sorted(events, key=lambda each: each[0]):
        step()


def media(rig, seconds, *, picture_late_us=60_000, sound_late_us=120_000, without=(0, 0)):
    """Everything of so many seconds; no pictures between these two instants."""
    shown = [at for at in range(0, seconds * S, FRAME_US) if not without[0] <= at < without[1]]
    heard = range(0, seconds * S, BLOCK * S // ENCODED_RATE)
    out = [(at + picture_late_us, functools.partial(rig.picture, at)) for at in shown]
    return out + [(at + sound_late_us, functools.partial(rig.sound, at)) for at in heard]


def holes(intervals):
    return [after[0] - before[1] for before, after in itertools.pairwise(intervals)]


@pytest.fixture
def root():
    path = tempfile.mkdtemp()
    yield Path(path)
    shutil.rmtree(path)


@settings(max_examples=20, deadline=None)
@given(
    after_us=st.integers(-900_000, 300_000),
    picture_late_us=st.integers(0, 900_000),
    rolls=st.lists(st.integers(0, 7_000_000), max_size=3),
)
def test_sound_goes_on_over_every_change_of_run(after_us, picture_late_us, rolls):
    """Sound that comes after the keyframe of the next run was lost once, and so was sound before it."""
    sound_late_us = picture_late_us + after_us
    with tempfile.TemporaryDirectory() as root:
        rig = Rig(Path(root))
        events = media(rig, 8, picture_late_us=picture_late_us, sound_late_us=sound_late_us)
        play(rig, events + [(at_us, rig.recording.roll) for at_us in rolls])
        rig.recording.end()
        heard, seen = rig.heard(), rig.seen()
        assert rig.untold() == ()
    assert -1000 < seen[0][0] < 1000
    assert seen[-1][1] > 8 * S - 1000
    assert max(holes(seen), default=0) < 1000
    assert heard[0][0] < FRAME_OF_SOUND_US
    assert heard[-1][1] > 8 * S - FRAME_OF_SOUND_US
    assert all(-2 * FRAME_OF_SOUND_US < hole < FRAME_OF_SOUND_US for hole in holes(heard))


@settings(max_examples=8, deadline=None)
@given(after_us=st.integers(-900_000, 300_000), rolls=st.lists(st.integers(0, 3_000_000), max_size=2))
def test_copied_sound_goes_on_over_every_change_of_run(after_us, rolls):
    with tempfile.TemporaryDirectory() as root:
        rig = Rig(Path(root), alone=False)
        container = _file()
        rig.recording.copied = CopiedSound(
            sound_template(container, container.streams.audio[0], ENCODED_RATE)
        )
        picture_late_us = 900_000
        events = [
            (at + picture_late_us, functools.partial(rig.picture, at)) for at in range(0, 4 * S, FRAME_US)
        ]
        for number, packet in enumerate(sounds(4)):
            at_us = number * 1024 * S // ENCODED_RATE
            events.append((at_us + picture_late_us + after_us, functools.partial(rig.copied, packet, at_us)))
        play(rig, events + [(at_us, rig.recording.roll) for at_us in rolls])
        rig.recording.end()
        heard = rig.heard()
    assert heard[0][0] < FRAME_OF_SOUND_US
    assert heard[-1][1] > 4 * S - FRAME_OF_SOUND_US
    assert all(-FRAME_OF_SOUND_US < hole < FRAME_OF_SOUND_US for hole in holes(heard))


def test_sound_waits_for_its_picture_and_no_longer(root):
    """What waits is lost by a kill: with pictures in bursts of 200 ms, none that a picture has passed."""
    rig = Rig(root)
    for at_us in range(0, 4 * S, FRAME_US):
        burst_us = -(-at_us // 200_000) * 200_000
        rig.picture(at_us)
        if at_us == burst_us:
            for block_us in range(burst_us, burst_us + 200_000, 20_000):
                rig.sound(block_us)
            assert rig.recording.last_sound_us <= M0 + at_us
        assert not at_us or rig.recording.last_sound_us >= M0 + at_us - FRAME_US
    for at_us in range(4 * S, 8 * S, 20_000):
        rig.sound(at_us)
        assert rig.recording.last_sound_us >= M0 + at_us - 1_550_000
    rig.recording.end()


def test_without_a_camera_sound_waits_for_no_picture(root):
    """A kill lost a second and a half of it."""
    rig = Rig(root, has_camera=False)
    for at_us in range(0, S, 20_000):
        rig.sound(at_us)
        assert rig.recording.last_sound_us == M0 + at_us + SOUND_OFF_US
    rig.recording.end()


@pytest.mark.parametrize("pictures_until_us", [8 * S, 2 * S])
def test_the_last_packet_of_a_run_is_filled_up_by_what_follows(root, pictures_until_us):
    """It was filled up by silence, in the place of up to 21 ms of what the next run says was heard."""
    rig = Rig(root)
    events = media(rig, 8, without=(pictures_until_us, 8 * S))
    play(rig, [*events, (2_900_000, rig.recording.picture_ended), (5_500_000, rig.recording.roll)])
    rig.recording.end()
    segments = sorted(rig.segments(), key=lambda each: each.start_us)
    last = [before for before, after in itertools.pairwise(segments) if before.run != after.run][-1]
    (path,) = [each.path for each in rig.spool.entries() if read_manifest(each.path).manifest == last]
    with av.open(str(path)) as container:
        pcm = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    loudness = np.abs(pcm[-4800:]).reshape(-1, 48).max(axis=1)
    assert loudness.min() > 0.2


def late_sound(rig, *spans, until_us=5 * S, believed_us=0):
    """Pictures all the time and sound in these spans; none is believed before that instant."""
    heard = [at for span in spans for at in range(*span, BLOCK * S // ENCODED_RATE)]
    shown = range(0, until_us, FRAME_US)
    out = [(at + 60_000, functools.partial(rig.picture, at)) for at in shown]
    return out + [(max(at + 120_000, believed_us), functools.partial(rig.sound, at)) for at in heard]


@pytest.mark.parametrize("believed_us", [0, 1_300_000])
def test_a_microphone_that_opens_later_than_the_camera_was_not_lost(root, believed_us):
    """Its first gap was told as `microphone_lost`. What is missing later is."""
    rig = Rig(root)
    rig.recording.sound_opens(M0 - S)
    play(rig, late_sound(rig, (320_000, 2 * S), (3 * S, 5 * S), believed_us=believed_us))
    rig.recording.end()
    assert rig.silences() == [(0, 3, "opening", ""), (20, 30, "microphone_lost", "")]


def test_sound_that_is_believed_before_the_picture_is_known_was_not_lost_either(root):
    """A camera with B-frames is held until its order is known, and its first picture was taken before."""
    rig = Rig(root)
    rig.recording.sound_opens(M0 - S)
    for at_us in range(400_000, 600_000, 20_000):
        rig.sound(at_us)
    play(rig, late_sound(rig, (600_000, 3 * S), until_us=3 * S))
    rig.recording.end()
    assert rig.silences() == [(0, 4, "opening", "")]


def test_a_microphone_that_opens_late_and_is_lost_soon_is_told_of_both(root):
    """In the same segment, before any of it is committed."""
    rig = Rig(root)
    rig.recording.sound_opens(M0 - S)
    lost = (2_500_000, functools.partial(rig.recording.sound_lost, "unplugged"))
    play(rig, [*late_sound(rig, (300_000, 2 * S), (3 * S, 4 * S), until_us=4 * S), lost])
    rig.recording.end()
    assert rig.silences() == [(0, 3, "opening", ""), (20, 30, "microphone_lost", "unplugged")]


@pytest.mark.parametrize("noticed", ["told", "overdue"])
def test_a_microphone_that_cannot_be_opened_is_lost_from_the_beginning(root, noticed):
    """As a camera that opens is unreachable once that is known; it does not open again in the next run."""
    rig = Rig(root)
    rig.recording.sound_opens(M0)
    events = late_sound(rig, (9 * S, 10 * S), until_us=10 * S)
    if noticed == "told":
        events.append((S, functools.partial(rig.recording.sound_lost, "no such device")))
    events += [(at_us, functools.partial(rig.recording.look, M0 + at_us)) for at_us in range(0, 10 * S, S)]
    play(rig, [*events, (7_500_000, rig.recording.roll)])
    rig.recording.end()
    why = "no such device" if noticed == "told" else "no sound came"
    assert rig.silences() == [
        (0, 40, "microphone_lost", why),
        (40, 80, "microphone_lost", why),
        (80, 90, "microphone_lost", ""),
    ]


def test_without_a_microphone_of_the_room_late_sound_is_lost(root):
    rig = Rig(root, alone=False)
    play(rig, late_sound(rig, (300_000, 2 * S), until_us=2 * S))
    rig.recording.end()
    assert rig.silences() == [(0, 3, "microphone_lost", "")]


def test_sound_alone_begins_where_the_window_does(root):
    """The block in which it begins was dropped, and is when sound is dealt in large ones."""
    start_us = 107_000
    rig = Rig(root, window=Interval(T0 + start_us, T0 + HOUR.duration_us))
    for at_us in range(0, 4 * S, 100_000):
        ticks = (M0 + at_us) * ENCODED_RATE // S
        rig.recording.sound(tone(ticks, ENCODED_RATE // 10), ticks, "mic")
    rig.recording.end()
    (heard,) = rig.heard()[:1]
    assert start_us <= heard[0] < start_us + 100


@settings(max_examples=8, deadline=None)
@given(
    gone_us=st.integers(1_000_000, 2_000_000),
    for_us=st.integers(3_000_000, 5_000_000),
    slewed=st.lists(
        st.tuples(st.integers(2 * S, 7 * S), st.sampled_from([-45_000, -25_000, 0])), min_size=1, max_size=4
    ),
)
@example(gone_us=1_000_000, for_us=3_000_000, slewed=[(2_620_000, -45_000)])
def test_no_two_segments_overlap_while_the_clock_is_slewed(gone_us, for_us, slewed):
    """Runs of sound alone overlapped with what came before and after by what the clock was slewed."""
    with tempfile.TemporaryDirectory() as root:
        rig = Rig(Path(root))

        def slew(by_us):
            rig.wall_offset_us = T0 - M0 + by_us
            rig.recording.roll()

        events = media(rig, 8, without=(gone_us, gone_us + for_us))
        events += [(at_us, functools.partial(slew, by_us)) for at_us, by_us in slewed]
        play(rig, [*events, (gone_us + S, rig.recording.picture_ended)])
        rig.recording.end()
        segments = sorted(rig.segments(), key=lambda each: each.start_us)
        assert all(hole.duration_us < SOUND_JOINT_US for hole in rig.untold())
    for before, after in itertools.pairwise(segments):
        assert before.end_us <= after.start_us


@settings(max_examples=8, deadline=None)
@given(
    gone_us=st.integers(1_000_000, 4_000_000),
    for_us=st.integers(2_000_000, 6_000_000),
    sound_late_us=st.integers(0, 700_000),
)
def test_sound_goes_on_without_the_camera(gone_us, for_us, sound_late_us):
    with tempfile.TemporaryDirectory() as root:
        rig = Rig(Path(root))
        events = media(rig, 12, sound_late_us=sound_late_us, without=(gone_us, gone_us + for_us))
        play(rig, [*events, (gone_us + S, rig.recording.picture_ended)])
        rig.recording.end()
        heard, segments = rig.heard(), sorted(rig.segments(), key=lambda each: each.start_us)
        assert rig.untold() == ()
    assert len({segment.run for segment in segments}) == 3  # though it waits, if the camera is back soon
    assert all(-2 * FRAME_OF_SOUND_US < hole < FRAME_OF_SOUND_US for hole in holes(heard))
    # No two runs claim an instant.
    for before, after in itertools.pairwise(segments):
        assert before.end_us <= after.start_us


@settings(max_examples=8, deadline=None)
@given(start_us=st.integers(0, 3_000_000), length_us=st.integers(500_000, 4_000_000), camera=st.booleans())
def test_nothing_outside_the_window(start_us, length_us, camera):
    with tempfile.TemporaryDirectory() as root:
        rig = Rig(Path(root), window=Interval(T0 + start_us, T0 + start_us + length_us))
        play(rig, media(rig, 8, without=(0, 0) if camera else (0, 8 * S)))
        rig.recording.end()
        segments = rig.segments()
        tracks = rig.heard() + rig.seen()
    assert all(s.start_us >= T0 + start_us for s in segments)
    assert all(s.end_us <= T0 + start_us + length_us for s in segments)
    for began_us, ended_us in tracks:
        assert began_us >= start_us - 1
        assert ended_us <= start_us + length_us + FRAME_US  # a picture's duration is not content


def test_a_run_of_sound_alone_begins_with_its_first_sample(root):
    """It began with the encoder's run-in, 21 ms before, where the run before may have ended."""
    rig = Rig(root)
    play(rig, media(rig, 5, without=(0, 5 * S)))
    rig.recording.end()
    assert 0 <= rig.segments()[0].start_us - T0 - SOUND_OFF_US < 100


def test_sound_that_no_encoder_takes_ends_the_run_not_the_recorder(root):
    rig = Rig(root)
    play(rig, media(rig, 1))
    rig.recording.sound(np.full(ENCODED_RATE, np.nan, np.float32), (M0 + S) * ENCODED_RATE // S, "mic")
    with pytest.raises(MediaError, match="cannot be encoded"):
        rig.recording.end()
    rig.recording.fail(MediaError("sound cannot be encoded"))
    assert rig.segments()


def test_a_packet_without_duration_is_committed(root):
    """An empty interval of sound ended the recorder."""
    rig = Rig(root)
    container = _file()
    stream = container.streams.audio[0]
    rig.recording.copied = CopiedSound(sound_template(container, stream, ENCODED_RATE))
    rig.picture(0)
    rig.recording.copy(sounds(1)[0], M0, 0.0)
    rig.recording.end()
    assert rig.segments()


def _file(kind="mp4"):
    if kind == "mp4":
        target = Bytes()
        mux(target, pictures(1), sounds(1))
        return av.open(io.BytesIO(target.data))
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.options = {"preset": "ultrafast", "bf": "0", "g": "1"}
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((360, 320), 60 + number, np.uint8), format="yuv420p")
            frame.pts = number * 10
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    return av.open(file)


def test_copied_sound_outlives_its_connection():
    """The next segment of the run was a crash of the process."""
    container = _file()
    template = sound_template(container, container.streams.audio[0], ENCODED_RATE)
    before = head(None, template)
    container.close()
    assert head(None, template) == before


def test_a_camera_of_few_pictures_is_recorded(root):
    """With one picture in the first 300 ms there was no clock to ask, and the recorder died."""
    rig = Rig(root, alone=False)
    container = _file("mpegts")
    video = container.streams.video[0]
    packets = [packet for packet in container.demux(video) if packet.size]
    sound = RoomSound(None, rig.recording.sound, opened_us=M0)
    session = Session(Opened(container, video, None), M0, rig.recording, sound, "main", has_microphone=False)
    for number, packet in enumerate(packets):
        session.take(packet, M0 + (number + 1) * 400_000)
    assert rig.recording.has_picture
    rig.recording.end()
    assert sum(segment.tracks[0].samples for segment in rig.segments()) >= len(packets) - 1
