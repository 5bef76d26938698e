"""Archives by chance for properties of clips, and which of their samples a clip may leave out.

Runs, gaps, lost sound, clocks that wander, B-frames, pictures that lead their keyframe, H.264 and H.265.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from hypothesis import strategies as st

from recorder.intervals import Interval
from tests.mp4_synthetic import (
    VIDEO_TICKS,
    Footage,
    Made,
    MadeSegment,
    Sample,
    make_segment,
    video_stsd,
)

WALL = 1_795_000_000_000_000
# Positions of a group of pictures in decoding order: I, then P with the B-frames before it; in the last
# one, B-frames lead the keyframe, coded from the group before.
PLAIN, REORDERED, LEADING = (0, 1, 2, 3, 4, 5, 6), (0, 3, 1, 2, 6, 4, 5), (2, 0, 1, 5, 3, 4, 6)


H264 = video_stsd()
H265 = H264.replace(b"avc1", b"hvc1").replace(b"avcC", b"hvcC")


@st.composite
def footage(draw: st.DrawFn, *, codings: bool = False) -> Footage:
    """One to five segments of one to three runs, with gaps, lost sound, and clocks that wander.

    With `codings`, a run may be coded otherwise than the one before it.
    """
    rng = random.Random(draw(st.integers(0, 2**32)))
    rate = draw(st.sampled_from([48_000, 16_000, 44_100]))
    order = draw(st.sampled_from([PLAIN, REORDERED, LEADING]))
    sound_wanders = draw(st.booleans())
    coding = draw(st.sampled_from([H264, H265]))
    segments: list[MadeSegment] = []
    wall_us, media_s, sound_at, run = WALL, rng.uniform(0, 1e6), None, 0
    for number in range(draw(st.integers(1, 5))):
        if number and draw(st.booleans()):
            run, media_s, sound_at = run + 1, rng.uniform(0, 1e6), None
            coding = draw(st.sampled_from([H264, H265])) if codings else coding
            wall_us += draw(st.sampled_from([20_000, 333_333, 4_100_000]))
        elif number and draw(st.booleans()):
            lost_s = draw(st.sampled_from([3.0, 7.0]))
            wall_us, media_s, sound_at = wall_us + round(lost_s * 1e6), media_s + lost_s, None
        groups = draw(st.integers(1, 4))
        base, step = round(media_s * VIDEO_TICKS), VIDEO_TICKS // 10
        video = [
            (base + (7 * group + at) * step, (position - at) * step, step, at == 0)
            for group in range(groups)
            for at, position in enumerate(order)
        ]
        end_s, key_s = media_s + groups * 0.7, media_s + order[0] / 10
        audio, at = [], sound_at if sound_at is not None else round((key_s + rng.uniform(0, 0.1)) * rate)
        lose = draw(st.sampled_from([None, None, 0.3]))
        # Sound goes to the segment whose keyframe it follows.
        while at / rate < end_s + order[0] / 10:
            if lose is None or not media_s + lose < at / rate < media_s + 2 * lose:
                audio.append((at, 1024))
            at += 1024 + (rng.choice([-1, 0, 1]) if sound_wanders else 0)
        sound_at = at
        if draw(st.integers(0, 5)) == 0:
            audio, sound_at = [], None
        key_us = wall_us + order[0] * 100_000
        segments.append(make_segment(f"s{number}", f"run{run}", key_us, video, audio, rate=rate, stsd=coding))
        wall_us, media_s = wall_us + round((end_s - media_s) * 1e6), end_s
    return Footage(segments, rate)


@st.composite
def asked(draw: st.DrawFn) -> Interval:
    start = WALL + draw(st.integers(-1_000_000, 6_000_000))
    return Interval(start, start + draw(st.integers(50_000, 12_000_000)))


def check_samples(
    footage: Footage,
    interval: Interval,
    shown: Interval,
    held: Sequence[tuple[MadeSegment, Made, Sample]],
    *,
    exact: bool,
) -> None:
    """Every sample of the interval is held once, and none from outside, by a clip that shows `shown`."""
    names = [(made.piece, made.kind, made.number) for _, made, _ in held]
    assert len(set(names)) == len(names)
    for segment, made, _ in held:
        before, after = support(made, exact=exact)
        assert segment.wall_us(before) >= interval.start_us
        assert segment.wall_us(after) <= interval.end_us
    assert interval.start_us <= shown.start_us < shown.end_us <= interval.end_us
    for segment in footage.segments:
        for made in segment.samples:
            if (made.piece, made.kind, made.number) not in names:
                decodable = any(
                    (made.piece, "video", key.number) in names
                    for key in segment.samples
                    if key.kind == "video" and key.sync and key.number <= made.number
                )
                assert (made.kind == "video" and not made.sync and not decodable) or left_out_rightly(
                    footage, segment, made, interval, shown, exact=exact
                ), made


def support(made: Made, *, exact: bool) -> tuple[Fraction, Fraction]:
    """From when to when something is seen or heard of the sample, in media time."""
    margin = made.duration_s if exact and made.kind == "audio" else Fraction(0)
    return made.start_s - margin, made.start_s + made.duration_s + margin


def left_out_rightly(
    footage: Footage, segment: MadeSegment, made: Made, interval: Interval, shown: Interval, *, exact: bool
) -> bool:
    before, after = (segment.wall_us(at) for at in support(made, exact=exact))
    if (
        before < interval.start_us
        or after > interval.end_us
        or segment.wall_us(made.start_s) < shown.start_us
    ):
        return True
    if has_given_way(footage, segment, made):
        return True
    if made.kind == "audio":
        return False
    if leads_a_first_keyframe(footage, segment, made, shown):
        return True
    # Before the end: what the first picture that is too late, in decoding order, would have shown with it.
    return interval.end_us - after < 0.7e6 and any(
        other.number < made.number and segment.wall_us(other.start_s + other.duration_s) > interval.end_us
        for other in segment.samples
        if other.kind == "video"
    )


def has_given_way(footage: Footage, segment: MadeSegment, made: Made) -> bool:
    """The next run takes over; its first instant may be rounded to a microsecond."""
    others = [
        other
        for other in footage.segments
        if made_run(other) != made_run(segment) and other.piece.start_us > segment.piece.start_us
    ]
    start_us, end_us = (segment.wall_us(at) for at in (made.start_s, made.start_s + made.duration_s))
    taken_over = [other for other in others if end_us > other.piece.start_us]
    if made.kind == "video" or any(start_us >= other.piece.start_us - 1 for other in taken_over):
        return bool(taken_over)
    # Sound that reaches over that instant is left out only where it would be heard together with other sound.
    sounds_us = [
        other.wall_us(sound.start_s) for other in others for sound in other.samples if sound.kind == "audio"
    ]
    return bool(taken_over) and min(sounds_us, default=end_us) < end_us - 400


def leads_a_first_keyframe(footage: Footage, segment: MadeSegment, made: Made, shown: Interval) -> bool:
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
    begins = abs(segment.wall_us(keys[-1].start_s) - shown.start_us) < 1
    return begins or (len(keys) == 1 and not unbroken)


def made_run(segment: MadeSegment) -> str:
    return segment.piece.run
