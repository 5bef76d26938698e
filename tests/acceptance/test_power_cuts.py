"""Invariant 2 on a disk that loses its power while four agents ship (bench.powercut)."""

from __future__ import annotations

import functools

import pytest

from bench.loop_disk import why_not
from bench.powercut import measure

pytestmark = pytest.mark.root


@functools.cache
def reason_to_skip() -> str | None:
    return why_not()


@pytest.fixture(autouse=True)
def _needs_a_disk_to_cut():
    if reason := reason_to_skip():
        pytest.skip(reason)


def assert_nothing_lost(losses, cuts):
    assert losses.cuts == cuts
    assert losses.acked > cuts, "the cuts fell where nothing was acknowledged"
    assert (losses.lost, losses.altered, losses.doubled) == (0, 0, 0)
    assert losses.unswept == 0
    assert losses.unexplained == []


def test_twenty_cuts_lose_nothing_that_was_acknowledged():
    assert_nothing_lost(measure(20), 20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_cuts_lose_nothing_that_was_acknowledged():
    losses = measure(200)
    assert_nothing_lost(losses, 200)
    assert losses.torn > 0, "no cut fell into a body"


def test_a_server_that_does_not_sync_is_found_out():
    # A cut may fall before anything was acknowledged; one after it loses something, sooner or later.
    lost = (measure(2, syncless=True).lost for _ in range(10))
    assert any(lost)
