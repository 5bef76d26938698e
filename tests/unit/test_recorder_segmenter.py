from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from recorder.intervals import Interval
from recorder.segmenter import SOUND_GRACE_US, Action, Segmenter

FRAME_US = 40_000
SOUND_US = 20_000
SEGMENT_US = 2_000_000
LIMIT_US = 4_000_000
UTC_OF_ZERO_US = 1_000_000_000


@dataclass
class Packet:
    video: bool
    media_us: int
    keyframe: bool = False

    @property
    def utc_us(self) -> int:
        return UTC_OF_ZERO_US + self.media_us


@dataclass
class Played:
    """What an executor that obeys every action has written."""

    segments: list[list[Packet]] = field(default_factory=list)
    finished: list[list[Packet]] = field(default_factory=list)
    current: list[Packet] | None = None
    previous: list[Packet] | None = None

    def obey(self, action: int, packet: Packet) -> None:
        if action & (Action.CLOSE | Action.OPEN) and self.current is not None:
            self.finish()
            self.previous, self.current = self.current, None
        if action & Action.OPEN:
            self.current = []
            self.segments.append(self.current)
        if action & Action.FINISH:
            self.finish()
        if action & Action.KEEP:
            assert self.current is not None
            self.current.append(packet)
        if action & Action.KEEP_PREVIOUS:
            assert self.previous is not None
            self.previous.append(packet)

    def finish(self) -> None:
        if self.previous is not None:
            self.finished.append(self.previous)
            self.previous = None


def play(segmenter: Segmenter, packets: list[Packet]) -> tuple[Played, list[Packet]]:
    played, dropped = Played(), []
    for packet in packets:
        if packet.video:
            action = segmenter.video(packet.utc_us, packet.media_us, keyframe=packet.keyframe)
        else:
            action = segmenter.audio(packet.utc_us, packet.media_us, SOUND_US)
        played.obey(action, packet)
        if not action & (Action.KEEP | Action.KEEP_PREVIOUS):
            dropped.append(packet)
    return played, dropped


@st.composite
def streams(draw):
    """Pictures and sound in an order of arrival in which sound may be late."""
    frames = draw(st.integers(50, 300))
    keyframes = set(range(draw(st.integers(0, 30)), frames, draw(st.integers(5, 120))))
    missing = draw(st.sets(st.integers(0, frames - 1), max_size=30))
    late_us = draw(st.integers(0, 2_000_000))
    start_us = draw(st.integers(0, 4_000_000))
    pictures = [
        (start_us + n * FRAME_US, Packet(True, start_us + n * FRAME_US, n in keyframes))
        for n in range(frames)
        if n not in missing
    ]
    sounds = [
        (start_us + n * SOUND_US + late_us, Packet(False, start_us + n * SOUND_US)) for n in range(2 * frames)
    ]
    return [packet for _, packet in sorted(pictures + sounds, key=lambda pair: pair[0])]


windows = st.tuples(st.integers(0, 8_000_000), st.integers(1, 12_000_000)).map(
    lambda pair: Interval(UTC_OF_ZERO_US + pair[0], UTC_OF_ZERO_US + pair[0] + pair[1])
)


@given(streams(), windows, st.booleans())
def test_segments_partition_what_is_kept_and_begin_on_keyframes(packets, window, has_sound):
    segmenter = Segmenter(window, has_sound=has_sound, segment_us=SEGMENT_US, limit_us=LIMIT_US)
    played, dropped = play(segmenter, packets)
    kept = [packet for segment in played.segments for packet in segment]
    assert len(kept) + len(dropped) == len(packets)
    assert {id(p) for p in kept}.isdisjoint({id(p) for p in dropped})
    for segment in played.segments:
        assert segment[0].video
        assert segment[0].keyframe
        pictures = [p for p in segment if p.video]
        assert pictures[-1].utc_us - segment[0].utc_us < LIMIT_US
        # Only at a whole period does a keyframe begin another segment.
        period = segment[0].utc_us // SEGMENT_US
        assert not any(p.keyframe and p.utc_us // SEGMENT_US > period for p in pictures[1:])
        for sound in segment:
            if not sound.video:
                assert sound.media_us >= segment[0].media_us


@given(streams(), windows)
def test_nothing_outside_the_window_is_kept(packets, window):
    segmenter = Segmenter(window, has_sound=True, segment_us=SEGMENT_US, limit_us=LIMIT_US)
    played, _ = play(segmenter, packets)
    for segment in played.segments:
        for packet in segment:
            assert window.start_us <= packet.utc_us
            assert packet.utc_us + (0 if packet.video else SOUND_US) <= window.end_us


@given(streams())
def test_inside_one_run_no_picture_after_the_first_keyframe_is_dropped(packets):
    segmenter = Segmenter(Interval(0, 2**60), has_sound=True, segment_us=SEGMENT_US, limit_us=2**40)
    played, dropped = play(segmenter, packets)
    if played.segments:
        first = played.segments[0][0]
        assert all(p.media_us < first.media_us for p in dropped if p.video)


@given(streams())
def test_sound_lies_in_the_segment_in_whose_picture_it_begins(packets):
    segmenter = Segmenter(Interval(0, 2**60), has_sound=True, segment_us=SEGMENT_US, limit_us=LIMIT_US)
    played, _ = play(segmenter, packets)
    for segment, following in zip(played.segments, played.segments[1:], strict=False):
        assert all(p.media_us < following[0].media_us for p in segment)


def test_a_segment_waits_for_late_sound_no_longer_than_the_grace():
    segmenter = Segmenter(Interval(0, 2**60), has_sound=True, segment_us=3_000_000)
    video = [Packet(True, n * FRAME_US, n % 25 == 0) for n in range(115)]
    played, _ = play(segmenter, video)
    assert len(played.segments) == 2
    assert played.finished == [played.segments[0]]
    cut = played.segments[1][0].media_us
    late = Packet(False, cut - SOUND_US)
    assert segmenter.audio(late.utc_us, late.media_us, SOUND_US) == Action.DROP
    assert video[-1].media_us - cut > SOUND_GRACE_US


def test_without_a_keyframe_a_segment_ends_before_the_limit_and_waits_for_one():
    segmenter = Segmenter(Interval(0, 2**60), has_sound=False, segment_us=SEGMENT_US, limit_us=LIMIT_US)
    frames = [Packet(True, n * FRAME_US, n in (0, 140)) for n in range(150)]
    played, dropped = play(segmenter, frames)
    assert len(played.segments) == 2
    assert played.segments[1][0] is frames[140]
    assert dropped
    assert all(75 <= p.media_us // FRAME_US < 140 for p in dropped)
