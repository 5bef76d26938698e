"""Holds: placed before a day is gone or not at all, narrowed and released by decisions only."""

from __future__ import annotations

import json
from datetime import date

import pytest
from sqlalchemy import select

from archive.models import CustodyEvent, Hold, Request, RoomDay
from archive.system import Archive
from recorder.errors import UnknownRoomError
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND, local_midnight_us
from recorder.intervals import Interval
from retention import holds, purge
from retention.errors import DayGoneError, HoldError
from tests.footage import ROOMS, FakeAgent

pytestmark = pytest.mark.both_databases

ZONE = "Europe/Kyiv"
HOUR = 60 * US_PER_MINUTE
DUE = local_midnight_us(date(2026, 12, 20), ZONE)


def at(day: int, hour: float = 10) -> int:
    return local_midnight_us(date(2026, 11, day), ZONE) + int(hour * HOUR)


def order(start_us: int, end_us: int, room: str = "108", **options) -> holds.HoldOrder:
    fields = {"reason": "a complaint of Ms. K.", "legal_ground": "law 2297-VI", "author": "user:3"}
    return holds.HoldOrder(room, Interval(start_us, end_us), **{**fields, **options})


def place(archive: Archive, *orders: holds.HoldOrder, now_us: int = at(21)) -> list[Hold]:
    with archive.database.transaction() as session:
        return holds.place(session, archive, orders, now_us)


def active(archive: Archive) -> list[tuple[str, int, int]]:
    with archive.database.reading() as session:
        return [(hold.room, hold.start_us, hold.end_us) for hold in holds.active(session)]


def events(archive: Archive) -> list[CustodyEvent]:
    with archive.database.reading() as session:
        told = select(CustodyEvent).where(CustodyEvent.action.startswith("hold_"))
        return list(session.scalars(told.order_by(CustodyEvent.sequence)))


def test_a_hold_stands_whole_and_is_told_without_its_reason(archive):
    (hold,) = place(archive, order(at(20), at(20, 11), request_id=5))
    assert active(archive) == [("108", at(20), at(20, 11))]
    (event,) = events(archive)
    assert (event.action, event.actor, event.room, event.date) == (
        "hold_placed",
        "user:3",
        "108",
        "2026-11-20",
    )
    assert event.subject == f"hold:{hold.id}"
    assert json.loads(event.details) == {
        "start_us": at(20),
        "end_us": at(20, 11),
        "request": 5,
        "expires_us": None,
    }


def test_the_label_on_the_door_names_the_room_too(archive):
    place(archive, order(at(20), at(20, 11), room="228-А"))
    assert active(archive) == [("228-a", at(20), at(20, 11))]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"reason": "  "}, HoldError, "a reason"),
        ({"legal_ground": ""}, HoldError, "a legal ground"),
        ({"room": "999"}, UnknownRoomError, "999"),
    ],
)
def test_a_wrong_order_is_refused_and_none_of_the_others_is_placed(archive, wrong, error, message):
    with pytest.raises(error, match=message):
        place(archive, order(at(20), at(20, 11)), order(at(20), at(20, 11), **wrong))
    assert active(archive) == []


def test_a_hold_of_centuries_is_a_mistyped_year(archive):
    with pytest.raises(HoldError, match="400 days"):
        place(archive, order(at(20), at(20) + 401 * US_PER_DAY))


@pytest.mark.parametrize("purged", [False, True])
def test_a_day_that_is_due_or_purged_is_gone(archive, purged):
    FakeAgent(archive).record(at(20))
    if purged:
        purge.run(archive, actor="cli:0", now_us=DUE, confirm=purge.plan(archive, DUE).digest)
    with pytest.raises(DayGoneError, match="2026-11-20 .purged." if purged else "2026-11-20 .due."):
        place(archive, order(at(20), at(20, 11)), now_us=DUE)
    place(archive, order(at(21), at(21, 11)), now_us=DUE)
    assert active(archive) == [("108", at(21), at(21, 11))]


def test_the_last_instant_before_the_due_midnight_is_in_time(archive):
    place(archive, order(at(20), at(20, 11)), now_us=DUE - 1)
    assert len(active(archive)) == 1


@pytest.mark.parametrize("purged", [False, True])
def test_of_a_gone_day_only_what_another_hold_keeps_can_be_held(archive, purged):
    FakeAgent(archive).record(at(20))
    place(archive, order(at(20), at(20, 10.5)), order(at(20, 11), at(20, 12)))
    if purged:
        purge.run(archive, actor="cli:0", now_us=DUE, confirm=purge.plan(archive, DUE).digest)
    placed = place(archive, order(at(20, 9), at(20, 11.5)), now_us=DUE)
    assert [(hold.start_us, hold.end_us) for hold in placed] == [
        (at(20), at(20, 10.5)),
        (at(20, 11), at(20, 11.5)),
    ]
    with pytest.raises(DayGoneError):
        place(archive, order(at(20, 10.5), at(20, 11)), now_us=DUE)


def test_a_released_hold_keeps_nothing_for_the_next(archive):
    (hold,) = place(archive, order(at(20), at(20, 11)))
    with archive.database.transaction() as session:
        holds.release(session, archive, hold.id, actor="user:3", reason="answered", now_us=DUE)
    with pytest.raises(DayGoneError):
        place(archive, order(at(20), at(20, 11)), now_us=DUE)


def test_across_midnight_only_the_day_that_is_left_is_held(archive):
    placed = place(archive, order(at(20, 23), at(21, 1)), now_us=DUE)
    assert [(hold.start_us, hold.end_us) for hold in placed] == [(at(21, 0), at(21, 1))]


def test_a_room_that_left_the_rooms_file_can_still_be_held(archive, tmp_path):
    FakeAgent(archive, "228-a").record(at(20))
    without = "\n".join(line for line in ROOMS.splitlines() if "228-a" not in line)
    with archive.database.transaction() as session:
        archive.configurations.publish(session, without + "\n", "user:1", at(20, 12))
    place(archive, order(at(20), at(22), room="228-a"))
    assert active(archive) == [("228-a", at(20), at(21, 0))]
    with archive.database.reading() as session:
        dates = set(session.scalars(select(RoomDay.date).where(RoomDay.room == "228-a")))
    assert dates == {"2026-11-20"}


def test_narrowing_never_widens_and_is_told(archive):
    (hold,) = place(archive, order(at(20), at(20, 11)))

    def narrow(start_us: int, end_us: int) -> None:
        with archive.database.transaction() as session:
            holds.narrow(
                session,
                archive,
                hold.id,
                Interval(start_us, end_us),
                actor="user:4",
                reason="matched",
                now_us=at(22),
            )

    for start_us, end_us in ((at(20) - 1, at(20, 11)), (at(20), at(20, 11) + 1), (at(21), at(21, 11))):
        with pytest.raises(HoldError, match="only be narrowed"):
            narrow(start_us, end_us)
    narrow(at(20, 10.25), at(20, 10.5))
    assert active(archive) == [("108", at(20, 10.25), at(20, 10.5))]
    with pytest.raises(HoldError, match="only be narrowed"):
        narrow(at(20), at(20, 11))
    told = events(archive)[-1]
    assert (told.action, told.actor) == ("hold_narrowed", "user:4")
    assert json.loads(told.details)["before"] == {"start_us": at(20), "end_us": at(20, 11)}


def test_what_a_narrowed_hold_lets_go_is_purged_when_due(archive):
    agent = FakeAgent(archive)
    agent.record(at(20))
    held = agent.record(at(20, 10.5))
    (hold,) = place(archive, order(at(20), at(20, 11)))
    with archive.database.transaction() as session:
        holds.narrow(
            session,
            archive,
            hold.id,
            Interval(at(20, 10.5), at(20, 11)),
            actor="user:4",
            reason="matched",
            now_us=at(22),
        )
    (decision,) = purge.plan(archive, DUE).acting
    assert [kept.item.id for kept in decision.keep] == [held]
    assert decision.destroyed.objects == 1


def test_a_hold_is_released_once_with_a_reason(archive):
    (hold,) = place(archive, order(at(20), at(20, 11)))

    def release(hold_id: int, reason: str = "answered") -> None:
        with archive.database.transaction() as session:
            holds.release(session, archive, hold_id, actor="user:4", reason=reason, now_us=at(22))

    with pytest.raises(HoldError, match="a reason"):
        release(hold.id, " ")
    with pytest.raises(HoldError, match="no hold 99"):
        release(99)
    release(hold.id)
    assert active(archive) == []
    assert events(archive)[-1].action == "hold_released"
    with pytest.raises(HoldError, match="already, by user:4"):
        release(hold.id)


def test_an_expiry_alarms_and_lets_nothing_go(archive):
    place(archive, order(at(20), at(20, 11), expires_us=at(25)), order(at(20), at(20, 11)))
    with archive.database.reading() as session:
        assert holds.expired_alarms(session, at(25) - US_PER_SECOND) == []
        assert [hold.id for hold in holds.expired_alarms(session, at(25))] == [1]
    assert len(active(archive)) == 2


def test_the_alarm_of_a_hold_can_be_set_and_taken_away_and_is_told(archive):
    (hold,) = place(archive, order(at(20), at(20, 11)))
    for expires_us, alarms in ((at(25), 1), (None, 0)):
        with archive.database.transaction() as session:
            holds.alarm_at(session, archive, hold.id, expires_us, actor="user:4", now_us=at(22))
        with archive.database.reading() as session:
            assert len(holds.expired_alarms(session, at(26))) == alarms
        told = events(archive)[-1]
        assert (told.action, json.loads(told.details)["expires_us"]) == ("hold_expiry_set", expires_us)
    assert len(active(archive)) == 1


def test_locking_makes_the_days_of_the_interval_and_no_evening_before(archive):
    """The evening before matters only where it was recorded."""
    with archive.database.transaction() as session:
        holds.lock_days(session, archive, [("108", Interval(at(21, 0), at(22, 1)))])
    with archive.database.reading() as session:
        assert list(session.scalars(select(RoomDay.date))) == ["2026-11-21", "2026-11-22"]


@pytest.mark.parametrize(
    ("status", "outcome", "appeal_until_us", "refusal"),
    [
        ("registered", None, None, "undecided"),
        ("in_review", None, None, "undecided"),
        ("decided", "refused", at(30), "appeal period"),
        ("decided", "refused", at(22), None),
        ("decided", "released", None, None),
        ("withdrawn", "withdrawn", None, None),
    ],
)
def test_a_requests_hold_is_not_ended_by_hand_while_it_is_protected(
    archive, status, outcome, appeal_until_us, refusal
):
    with archive.database.transaction() as session:
        request = Request(
            number="К-2026-7",
            pin_hash="",
            status=status,
            outcome=outcome,
            room="108",
            date="2026-11-20",
            asked_start_us=at(20),
            asked_end_us=at(20, 11),
            answer_due_us=at(27),
            appeal_until_us=appeal_until_us,
            created_us=at(21),
            address_sha256="",
        )
        session.add(request)
        session.flush()
        (hold,) = holds.place(session, archive, [order(at(20), at(20, 11), request_id=request.id)], at(21))
    with archive.database.reading() as session:
        if refusal is None:
            holds.require_decided(session, archive, hold.id, at(22))
        else:
            with pytest.raises(HoldError, match=refusal):
                holds.require_decided(session, archive, hold.id, at(22))
