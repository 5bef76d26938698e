"""One board for all who watch it: drawn once, told when it changes, ended when it must."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

from retrieval_api.board_view import Kind
from retrieval_api.event_stream import EventStream
from retrieval_api.live_board import LiveBoard, Session, event
from tests.event_loops import run_apart

OPERATOR, CLERK = Kind("uk", "operator"), Kind("en", "clerk")


class Rooms:
    """What the board shows in these tests: a word. `over`: sessions that have ended."""

    def __init__(self) -> None:
        self.word, self.drawn, self.over, self.fails = "one", [], set(), False
        self.draw_later = threading.Event()
        self.draw_later.set()

    def draw(self, kinds):
        self.draw_later.wait(5)
        if self.fails:
            raise OSError("the database is away")
        self.drawn.append(set(kinds))
        return {kind: f"{kind.role}\n{self.word}" for kind in kinds}

    def ended(self, sessions):
        return frozenset(sessions & self.over)


@pytest.fixture
def rooms():
    return Rooms()


@pytest.fixture
def live(rooms):
    return LiveBoard(rooms.draw, rooms.ended, round_s=0.01)


def session(name: str, role: str = "operator") -> Session:
    return Session(name, role)


async def take(events, until: str, at_most: int = 20) -> list[str]:
    """Events up to the first that has `until` in it."""
    taken = []
    for _ in range(at_most):
        async with asyncio.timeout(8):
            taken.append(await anext(events))
        if until in taken[-1]:
            return taken
    raise AssertionError(f"{until!r} is not in {taken}")


async def assert_silent_until(events, mend) -> None:
    """Nothing is said for half a second; once it is mended the reader is told that the board is alive."""
    told = asyncio.ensure_future(anext(events))
    await asyncio.wait({told}, timeout=0.5)
    assert not told.done()
    mend()
    async with asyncio.timeout(8):
        assert await told == event("alive")


def test_all_readers_of_a_kind_share_one_drawing(rooms, live) -> None:
    async def run() -> None:
        readers = [live.follow(OPERATOR, session(str(number))) for number in range(20)]
        readers.append(live.follow(CLERK, session("clerk", "clerk")))
        await asyncio.gather(*(take(each, "one") for each in readers))
        before, rooms.word = len(rooms.drawn), "two"
        last = await asyncio.gather(*(take(each, "two") for each in readers))
        assert last[0][-1] == event("board", "operator\ntwo")
        assert last[-1][-1] == event("board", "clerk\ntwo")
        assert all(kinds == {OPERATOR, CLERK} for kinds in rooms.drawn[before:])
        # Some rounds may lie between; a drawing for each reader would be twenty-one.
        assert len(rooms.drawn) - before < 10
        for each in readers:
            await each.aclose()

    run_apart(run())


def test_who_is_slow_gets_the_newest_and_nothing_between(rooms, live) -> None:
    async def run() -> None:
        async with aclosing(live.follow(OPERATOR, session("slow"))) as events:
            await take(events, "one")
            for number in range(50):
                rooms.word = f"word {number}"
                await asyncio.sleep(0.005)
            taken = await take(events, "word 49", at_most=3)
            assert sum("word" in each for each in taken) <= 2

    run_apart(run())


def test_nothing_is_said_twice_and_nobody_costs_nothing(rooms, live) -> None:
    async def run() -> None:
        async with aclosing(live.follow(OPERATOR, session("a"))) as events:
            await take(events, "one")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await anext(events)
        await asyncio.sleep(0.05)
        before = len(rooms.drawn)
        await asyncio.sleep(0.1)
        assert len(rooms.drawn) == before, "nobody reads"
        async with aclosing(live.follow(OPERATOR, session("a"))) as events:
            await take(events, "one")

    run_apart(run())


def test_a_session_that_is_over_ends_its_own_stream_alone(rooms, live) -> None:
    async def run() -> None:
        theirs, others = live.follow(OPERATOR, session("over")), live.follow(OPERATOR, session("other"))
        await asyncio.gather(take(theirs, "one"), take(others, "one"))
        rooms.over = {session("over")}
        assert (await take(theirs, "event: end"))[-1] == event("end")
        with pytest.raises(StopAsyncIteration):
            await anext(theirs)
        rooms.word = "two"
        await take(others, "two")
        await others.aclose()

    run_apart(run())


def test_a_board_that_cannot_be_drawn_says_nothing_until_it_can(rooms, live, monkeypatch) -> None:
    monkeypatch.setattr("retrieval_api.live_board.ALIVE_S", 0.05)

    async def run() -> None:
        async with aclosing(live.follow(OPERATOR, session("a"))) as events:
            await take(events, "one")
            await take(events, "event: alive")
            rooms.fails = True
            await asyncio.sleep(0.1)
            await assert_silent_until(events, lambda: setattr(rooms, "fails", False))

    run_apart(run())


def test_a_board_that_takes_too_long_to_draw_is_not_called_alive(rooms, live, monkeypatch) -> None:
    monkeypatch.setattr("retrieval_api.live_board.ALIVE_S", 0.05)
    monkeypatch.setattr("retrieval_api.live_board.FRESH_S", 0.2)
    hangs = threading.Event()

    async def run() -> None:
        async with aclosing(live.follow(OPERATOR, session("a"))) as events:
            await take(events, "event: alive")
            rooms.draw_later = hangs
            await asyncio.sleep(0.4)
            await assert_silent_until(events, hangs.set)

    run_apart(run())


def test_a_stop_of_the_server_ends_every_stream_at_once(live) -> None:
    async def run() -> None:
        readers = [live.follow(OPERATOR, session(str(number))) for number in range(3)]
        for each in readers:
            await take(each, "one")
        live.close()
        for each in readers:
            with pytest.raises(StopAsyncIteration):
                async with asyncio.timeout(1):
                    await anext(each)

    run_apart(run())


def test_a_connection_that_takes_nothing_is_let_go(rooms, live) -> None:
    async def run() -> None:
        sent = []

        async def send(message) -> None:
            sent.append(message["type"])
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        async def receive():
            await asyncio.Event().wait()

        stream = EventStream(live.follow(OPERATOR, session("stuck")), stuck_s=0.1)
        async with asyncio.timeout(5):
            await stream({}, receive, send)
        assert sent == ["http.response.start", "http.response.body"]
        await asyncio.sleep(0.05)
        before = len(rooms.drawn)
        await asyncio.sleep(0.1)
        assert len(rooms.drawn) == before, "and not drawn for any more"

    run_apart(run())


def test_a_reader_who_left_is_noticed_though_nothing_changes(rooms, live) -> None:
    async def run() -> None:
        left = asyncio.Event()

        async def send(message) -> None:
            if b"one" in message.get("body", b""):
                left.set()

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        async with asyncio.timeout(3):
            await EventStream(live.follow(OPERATOR, session("a")))({}, receive, send)
        assert not live.is_full

    run_apart(run())
