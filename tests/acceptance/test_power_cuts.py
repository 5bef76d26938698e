"""Invariant 2 on a disk that loses its power while four agents ship (bench.powercut)."""

from __future__ import annotations

import functools

import pytest

from archive.local_store import LocalStore
from archive.store import StoreAwayError
from bench.loop_disk import LoopDisk, why_not
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


def test_a_write_whose_leftover_cannot_be_removed_either_is_a_store_that_is_away(tmp_path):
    with LoopDisk(tmp_path, size_mb=64) as disk:
        store = LocalStore(disk.root / "footage")
        written, given_up = (store.writer(f"108/2026-11-20/{number}.mp4") for number in range(2))
        disk.cut_power()
        with pytest.raises(StoreAwayError, match="Input/output error"):
            written.write(b"x" * 100_000)
        given_up.abort()
