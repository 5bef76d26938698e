"""What holds for every clip, of whatever runs, gaps and clocks: properties of the clip engine."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.mp4.virtual import NothingRecordedError, VirtualMp4, build
from recorder.intervals import Interval
from tests.mp4_footage import WALL, footage
from tests.mp4_synthetic import (
    Footage,
    Made,
    MadeSegment,
    parse_clip,
    samples_of,
)


@st.composite
def asked(draw: st.DrawFn) -> Interval:
    start = WALL + draw(st.integers(-1_000_000, 6_000_000))
    return Interval(start, start + draw(st.integers(50_000, 12_000_000)))


def built(footage: Footage, interval: Interval, *, exact: bool) -> VirtualMp4 | None:
    try:
        return build(footage.pieces, interval, exact=exact)
    except NothingRecordedError:
        return None


COMMON = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@COMMON
@given(footage(), asked(), st.booleans(), st.data())
def test_any_range_is_that_slice_of_the_whole(
    footage: Footage, interval: Interval, exact: bool, data: st.DataObject
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    whole = footage.content(clip)
    assert len(whole) == clip.size
    for _ in range(5):
        start = data.draw(st.integers(0, clip.size))
        end = data.draw(st.integers(start, clip.size))
        assert footage.part(clip, start, end) == whole[start:end]


@COMMON
@given(footage(), asked(), st.booleans())
def test_every_sample_of_the_interval_once_and_none_outside(
    footage: Footage, interval: Interval, exact: bool
) -> None:
    clip = built(footage, interval, exact=exact)
    held = samples_of(footage, clip) if clip else []
    names = [(made.piece, made.kind, made.number) for _, made, _ in held]
    assert len(set(names)) == len(names)
    for segment, made, _ in held:
        before, after = support(made, exact=exact)
        assert segment.wall_us(before) >= interval.start_us
        assert segment.wall_us(after) <= interval.end_us
    if clip is None:
        return
    assert interval.start_us <= clip.start_us < clip.end_us <= interval.end_us
    for segment in footage.segments:
        for made in segment.samples:
            if (made.piece, made.kind, made.number) not in names:
                decodable = any(
                    (made.piece, "video", key.number) in names
                    for key in segment.samples
                    if key.kind == "video" and key.sync and key.number <= made.number
                )
                assert (made.kind == "video" and not made.sync and not decodable) or left_out_rightly(
                    footage, segment, made, interval, clip, exact=exact
                ), made


def support(made: Made, *, exact: bool) -> tuple[Fraction, Fraction]:
    """From when to when something is seen or heard of the sample, in media time."""
    margin = made.duration_s if exact and made.kind == "audio" else Fraction(0)
    return made.start_s - margin, made.start_s + made.duration_s + margin


def left_out_rightly(
    footage: Footage, segment: MadeSegment, made: Made, interval: Interval, clip: VirtualMp4, *, exact: bool
) -> bool:
    before, after = (segment.wall_us(at) for at in support(made, exact=exact))
    if before < interval.start_us or after > interval.end_us or segment.wall_us(made.start_s) < clip.start_us:
        return True
    # The next run takes over; its first instant may be rounded to a microsecond.
    others = [
        p.start_us
        for p in footage.pieces
        if p.run != made_run(segment) and p.start_us > segment.piece.start_us
    ]
    if any(segment.wall_us(made.start_s + made.duration_s) > other for other in others):
        return True
    if made.kind == "audio":
        return False
    if leads_a_first_keyframe(footage, segment, made, clip):
        return True
    # Before the end: what the first picture that is too late, in decoding order, would have shown with it.
    return interval.end_us - after < 0.7e6 and any(
        other.number < made.number and segment.wall_us(other.start_s + other.duration_s) > interval.end_us
        for other in segment.samples
        if other.kind == "video"
    )


def leads_a_first_keyframe(footage: Footage, segment: MadeSegment, made: Made, clip: VirtualMp4) -> bool:
    """Shown before its keyframe, with which the clip, or a stream after a break, begins."""
    keys = [s for s in segment.samples if s.kind == "video" and s.sync and s.number <= made.number]
    if made.start_s >= keys[-1].start_s:
        return False
    before = [s for s in footage.segments if s.piece.start_us < segment.piece.start_us]
    unbroken = (
        bool(before)
        and made_run(before[-1]) == made_run(segment)
        and abs(before[-1].piece.end_us - segment.piece.start_us) < 1_000_000
    )
    begins = abs(segment.wall_us(keys[-1].start_s) - clip.start_us) < 1
    return begins or (len(keys) == 1 and not unbroken)


def made_run(segment: MadeSegment) -> str:
    return segment.piece.run


@COMMON
@given(footage(), asked(), st.booleans())
def test_the_first_picture_is_a_keyframe_and_pictures_keep_their_order(
    footage: Footage, interval: Interval, exact: bool
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    tracks = {track.kind: track.samples for track in parse_clip(footage.content(clip))}
    pictures = tracks.get("video", [])
    if pictures:
        assert pictures[0].sync
        assert pictures[0].present_s == min(each.present_s for each in pictures) == 0
        shown = sorted(pictures, key=lambda each: each.present_s)
        walls = [segment.wall_us(made.start_s) for segment, made in (footage.find(p.data) for p in shown)]
        assert walls == sorted(walls)
        assert len({each.present_s for each in shown}) == len(shown)


@COMMON
@given(footage(), asked(), st.booleans())
def test_sound_has_no_holes_and_stays_with_the_picture(
    footage: Footage, interval: Interval, exact: bool
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    packet_s = Fraction(1024, footage.rate)
    tracks = {track.kind: track for track in parse_clip(footage.content(clip))}
    assert not clip.stretched_sound
    if "audio" in tracks:
        assert {round(s.duration_s * footage.rate) for s in tracks["audio"].samples} == {1024}
    held = samples_of(footage, clip)
    sound = [(segment, made, sample) for segment, made, sample in held if made.kind == "audio"]
    # The very first sample may be shown earlier than it was: from the clip's beginning on.
    wall_zero = next(
        (
            segment.wall_us(made.start_s) / 10**6 - each.present_s
            for segment, made, each in held
            if each.present_s
        ),
        Fraction(0),
    )
    for segment, made, sample in held:
        wall = segment.wall_us(made.start_s) / 10**6
        if sample.present_s:
            # On the wall's line, but for the half packet that a hole may cost.
            assert abs(wall - wall_zero - sample.present_s) < packet_s / 2 + 0.005
        near = min(
            (each for each in sound if each[0].piece.run == segment.piece.run),
            key=lambda each: abs(each[1].start_s - made.start_s),
            default=None,
        )
        if (
            made.kind == "video"
            and sample.present_s
            and near
            and abs(near[1].start_s - made.start_s) < packet_s / 2
        ):
            apart = (sample.present_s - near[2].present_s) - (made.start_s - near[1].start_s)
            assert abs(apart) <= 0.0011, (made, near[1])


@COMMON
@given(footage(), asked(), st.booleans(), st.randoms())
def test_the_same_plan_gives_the_same_bytes(
    footage: Footage, interval: Interval, exact: bool, rng: random.Random
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    shuffled = footage.pieces
    rng.shuffle(shuffled)
    again = build(shuffled, interval, exact=exact)
    assert (again.etag, again.head) == (clip.etag, clip.head)
    assert list(again.slices(0, again.size)) == list(clip.slices(0, clip.size))
