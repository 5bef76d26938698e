from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from recorder.capture.reordering import Reordering

FRAME = 3600


def sent(groups: list[int]) -> list[int]:
    """Numbers of pictures in the order of sending: each group's last one first, then those before it."""
    order, shown = [], 0
    for size in groups:
        order += [shown + size, *range(shown + 1, shown + size)]
        shown += size
    return order


def as_ffmpeg(shown: list[int]) -> list[tuple[int | None, int | None]]:
    """Nothing of the first picture, and no decoding time of the next two, as where it has not learned yet."""
    return [(None, None), *((at, None) for at in shown[1:3]), *((at, at - 1) for at in shown[3:])]


@given(st.lists(st.integers(1, 4), min_size=4, max_size=40), st.integers(3, 12))
def test_decoding_goes_on_by_one_picture_and_none_is_shown_before(groups, held):
    shown = [number * FRAME for number in sent(groups)]
    order = Reordering()
    order.learn(as_ffmpeg(shown[:held]))
    order.depth = 3  # as far as the greatest group reaches; learned later it costs one repeated time
    decoded = [order.decoded(at) for at in shown]
    assert all(when <= at for when, at in zip(decoded, shown, strict=True))
    assert all(before < after for before, after in itertools.pairwise(decoded))
    assert {after - before for before, after in itertools.pairwise(decoded[4:])} <= {FRAME}


def test_the_depth_is_learned_from_the_first_pictures_and_the_first_is_placed_before_them():
    shown = [number * FRAME for number in sent([3, 3, 3])]
    order = Reordering()
    # The first one, of unknown time, was the keyframe at 0.
    assert order.learn(as_ffmpeg([0, *shown])) == 0
    assert (order.reorders, order.depth, order.frame_ticks) == (True, 1, FRAME)
    assert [order.decoded(at) // FRAME for at in (0, *shown)] == [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_without_b_frames_a_picture_is_decoded_when_it_is_shown_also_after_a_step_back():
    order = Reordering()
    first = [(None, None), (5400, 5400), (9000, 9000), (1000, 1000)]
    order.learn(first)
    assert not order.reorders
    assert order.depth == 0
    assert all(order.leads(at) and order.decoded(at) == at for at in (5400, 9000, 1000, 4600))


def test_only_pictures_that_lead_tell_the_time_but_for_a_step_back():
    shown = [number * FRAME for number in sent([3] * 6)]
    order = Reordering()
    order.learn(as_ffmpeg(shown))
    assert [order.leads(at) for at in shown[:6]] == [True, False, False, True, False, False]
    assert order.leads(shown[5] - 30 * FRAME)


def test_a_pause_moves_no_picture():
    """As FFmpeg has it, pictures after a pause of the camera are decoded before it."""
    shown = [number * FRAME for number in sent([3, 3, 3])]
    order = Reordering()
    order.learn(as_ffmpeg(shown))
    later = [at + 100 * FRAME for at in shown]
    decoded = [order.decoded(at) for at in (*shown, *later)]
    assert decoded == sorted(decoded)
    assert all(when <= at for when, at in zip(decoded, (*shown, *later), strict=True))


def test_a_moved_time_line_goes_on():
    shown = [number * FRAME for number in sent([3, 3, 3])]
    order = Reordering()
    order.learn(as_ffmpeg(shown))
    before = [order.decoded(at) for at in shown][-1]
    order.move(1_000_000)
    assert order.decoded(shown[-1] + 2 * FRAME + 1_000_000) == before + FRAME + 1_000_000
