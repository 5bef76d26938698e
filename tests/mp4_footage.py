"""Random footage for properties: runs, gaps, lost sound, reordered pictures, clocks that wander."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from tests.mp4_synthetic import VIDEO_TICKS, Footage, MadeSegment, make_segment

WALL = 1_795_000_000_000_000
# Positions of a group of pictures in decoding order: I, then P with the B-frames before it; in the last
# one, B-frames lead the keyframe, coded from the group before.
PLAIN, REORDERED, LEADING = (0, 1, 2, 3, 4, 5, 6), (0, 3, 1, 2, 6, 4, 5), (2, 0, 1, 5, 3, 4, 6)


@st.composite
def footage(draw: st.DrawFn) -> Footage:
    """One to five segments of one to three runs, with gaps, lost sound, and clocks that wander."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    rate = draw(st.sampled_from([48_000, 16_000, 44_100]))
    order = draw(st.sampled_from([PLAIN, REORDERED, LEADING]))
    sound_wanders = draw(st.booleans())
    segments: list[MadeSegment] = []
    wall_us, media_s, sound_at, run = WALL, rng.uniform(0, 1e6), None, 0
    for number in range(draw(st.integers(1, 5))):
        if number and draw(st.booleans()):
            run, media_s, sound_at = run + 1, rng.uniform(0, 1e6), None
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
        segments.append(make_segment(f"s{number}", f"run{run}", key_us, video, audio, rate=rate))
        wall_us, media_s = wall_us + round((end_s - media_s) * 1e6), end_s
    return Footage(segments, rate)
