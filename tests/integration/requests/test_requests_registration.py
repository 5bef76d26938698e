"""The number, its hold and its bounds, against real footage and a real purge."""

from __future__ import annotations

import threading
from datetime import date

import pytest

from archive import custody
from archive.models import CustodyEvent, Hold, Request, RequestPerson, Segment
from retention.errors import DayGoneError
from retrieval_api.requests import matching
from retrieval_api.requests.registration import TooManyOpenError
from tests.integration.requests.desk import DUE, MINE, NOW, STAFF, actions, approve, rows, the_request
from tests.requesting import APPLICATION, application, at, purge_at

pytestmark = pytest.mark.both_databases


def test_the_number_is_given_out_with_its_hold(archive, footage, registrar) -> None:
    receipt = registrar.register(APPLICATION, "10.0.0.1", NOW)
    assert receipt.number.startswith("2026-000001-")
    assert receipt.answer_date == date(2026, 11, 30)
    (hold,) = rows(archive, Hold)
    assert (hold.room, hold.start_us, hold.end_us) == ("108", at(10), at(12))
    assert hold.expires_us is None
    request = the_request(archive, receipt.number)
    assert hold.request_id == request.id
    assert request.answer_due_us == at(0, day=date(2026, 12, 1))
    assert actions(archive, receipt.number) == ["request_registered"]


def test_nothing_is_registered_when_its_recording_is_gone(archive, footage, registrar) -> None:
    with pytest.raises(DayGoneError):
        registrar.register(APPLICATION, "10.0.0.1", DUE)
    assert rows(archive, Request) == rows(archive, Hold) == rows(archive, RequestPerson) == []


def test_without_a_room_every_room_is_held_until_the_decision(archive, footage, registrar, desk) -> None:
    number = registrar.register(application(room=None), "10.0.0.1", NOW).number
    assert {hold.room for hold in rows(archive, Hold)} == {"108", "228-a"}
    approve(desk, number)
    held = rows(archive, Hold, Hold.released_us.is_(None))
    assert [(hold.room, hold.start_us, hold.end_us) for hold in held] == [("108", MINE.start_us, MINE.end_us)]


def test_a_room_that_has_left_the_rooms_file_is_held_and_matched_too(
    archive, footage, registrar, desk
) -> None:
    path = archive.settings.rooms
    text = "".join(line for line in path.read_text("utf-8").splitlines(True) if '{id: "108"' not in line)
    path.write_text(text, "utf-8")
    archive.sync_rooms_file(NOW)
    number = registrar.register(application(room=None), "10.0.0.1", NOW).number
    assert {hold.room for hold in rows(archive, Hold)} == {"108", "228-a"}
    with archive.database.reading() as session:
        _, rooms = archive.configurations.current(session)
        found = matching.candidates(session, the_request(archive, number), rooms)
    assert (found[0].room, found[0].anything_recorded) == ("108", True)
    approve(desk, number)
    assert the_request(archive, number).outcome == "released"


def test_open_requests_are_bounded_by_contact_and_by_address(archive, footage, registrar, desk) -> None:
    numbers = [registrar.register(APPLICATION, "10.0.0.1", NOW).number for _ in range(2)]
    with pytest.raises(TooManyOpenError) as caught:
        registrar.register(APPLICATION, "10.0.0.2", NOW)
    assert caught.value.whose == "contact"
    registrar.register(application(contact="+380500000000"), "10.0.0.1", NOW)
    with pytest.raises(TooManyOpenError) as caught:
        registrar.register(application(contact="+380500000001"), "10.0.0.1", NOW)
    assert caught.value.whose == "network address"
    desk.refuse(numbers[0], "не підтверджено", STAFF, NOW)
    registrar.register(APPLICATION, "10.0.0.2", NOW)


def test_the_custody_log_bears_no_personal_data(archive, footage, registrar, desk) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    approve(desk, number)
    log = " ".join(row.details for row in rows(archive, CustodyEvent))
    for personal in ("Петренко", "380671234567", "Коваль", "оскаржити", "паспорт", "10.0.0.1"):
        assert personal not in log
    with archive.database.reading() as session:
        assert list(custody.verify(session)) == []


def test_the_hold_stands_from_the_number_on_whatever_a_purge_does(archive, footage, registrar) -> None:
    """Invariant 7: registrations and purges that race in the last instant before the due midnight."""
    receipts, failures = [], []

    def register() -> None:
        try:
            receipts.append(registrar.register(APPLICATION, "10.0.0.1", DUE - 1))
        except DayGoneError as error:
            failures.append(error)

    threads = [threading.Thread(target=register)]
    threads += [threading.Thread(target=purge_at, args=(archive, DUE)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {row.id for row in rows(archive, Segment)}
    assert bool(receipts) != bool(failures)
    assert set(footage[0]) <= kept if receipts else not kept
