"""What holds for every clip, of whatever runs, gaps and clocks: properties of the clip engine."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.mp4.virtual import NothingRecordedError, VirtualMp4, build
from recorder.intervals import Interval
from tests.mp4_chance import asked, check_samples, footage
from tests.mp4_synthetic import Footage, parse_clip, samples_of


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
    if clip is not None:
        shown = Interval(clip.start_us, clip.end_us)
        check_samples(footage, interval, shown, samples_of(footage, clip), exact=exact)


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
