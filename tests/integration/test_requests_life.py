"""A request from its registration to its end, against real footage, holds, purge and custody log."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from sqlalchemy import select

from archive import custody, door
from archive.door import Ground, NoFootageError
from archive.models import CustodyEvent, Hold, LoginSession, Request, RequestPerson, Segment
from recorder.instants import US_PER_DAY, US_PER_SECOND
from recorder.intervals import Interval
from retention.errors import DayGoneError
from retrieval_api import sessions
from retrieval_api.release.recording import NotReleasedError, release_of
from retrieval_api.requests.access import (
    MAX_FAILURES_OF_ADDRESS,
    Document,
    Gate,
    ThrottledError,
    WrongPinError,
    reissue_pin,
)
from retrieval_api.requests.decision import Basis, DecisionError, Desk, UnknownRequestError
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.matching import OutOfReachError, candidates
from retrieval_api.requests.registration import Registrar, TooManyOpenError
from retrieval_api.requests.states import IllegalTransition
from tests.footage import FakeAgent, make_archive
from tests.requesting import APPLICATION, application, at, purge_at

NOW = at(12, day=date(2026, 11, 23))
DUE = at(0, day=date(2026, 12, 20))
MINE = Interval(at(10, 30, 2), at(10, 30, 8))
STAFF = "user:1"


@pytest.fixture
def archive(tmp_path):
    made = make_archive(tmp_path, open_requests_per_contact=2, open_requests_per_address=3)
    yield made
    made.close()


@pytest.fixture
def footage(archive):
    """Room 108: ten seconds from 10:30 on, and two from 15:00 on that nobody asks for. Segment ids."""
    agent = FakeAgent(archive)
    meeting = [agent.record(at(10, 30) + number * 2 * US_PER_SECOND) for number in range(5)]
    return meeting, agent.record(at(15))


@pytest.fixture
def secrets(archive):
    return RequestSecrets.of(archive.server_key)


@pytest.fixture
def registrar(archive, secrets):
    return Registrar(archive, secrets)


@pytest.fixture
def desk(archive):
    return Desk(archive)


@pytest.fixture
def gate(archive, secrets):
    return Gate(archive, secrets, wrong_answer_after_s=0)


def rows(archive, model, *where):
    with archive.database.reading() as session:
        return list(session.scalars(select(model).where(*where)))


def the_request(archive, number):
    return rows(archive, Request, Request.number == number)[0]


def actions(archive, number):
    return [row.action for row in rows(archive, CustodyEvent, CustodyEvent.subject == f"request:{number}")]


def approve(desk, number, interval=MINE, room="108", now_us=NOW):
    desk.match(number, room, STAFF, now_us)
    desk.set_interval(number, interval, STAFF, now_us)
    desk.record_identity(number, Basis.DOCUMENT, "паспорт", STAFF, now_us)
    desk.approve(number, interval, STAFF, now_us)


def opens(archive, interval, ground, now_us, room="108"):
    with archive.database.reading() as session:
        return door.resolve(session, archive.configurations, room, interval, ground, now_us)


# --- registration ---------------------------------------------------------------------------------


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


# --- PIN --------------------------------------------------------------------------------------------


def test_number_and_pin_open_and_anything_else_looks_alike(archive, footage, registrar, gate) -> None:
    receipt = registrar.register(APPLICATION, "10.0.0.1", NOW)
    typed = f"{receipt.pin[:4]} {receipt.pin[4:]}"
    assert gate.admit(receipt.number.replace("-", " "), typed, "10.0.0.1", NOW).number == receipt.number
    assert actions(archive, receipt.number) == ["request_registered", "request_opened"]
    said = set()
    for number, pin in (
        (receipt.number, "00000000"),
        ("2026-000099-0", receipt.pin),
        ("не номер", receipt.pin),
    ):
        with pytest.raises(WrongPinError) as caught:
            gate.admit(number, pin, "10.0.0.1", NOW)
        said.add(str(caught.value))
    assert len(said) == 1


def test_ten_wrong_pins_lock_the_number_until_staff_reissue_it(
    archive, footage, registrar, gate, secrets
) -> None:
    receipt = registrar.register(APPLICATION, "10.0.0.1", NOW)
    for attempt in range(10):
        with pytest.raises(WrongPinError):
            gate.admit(receipt.number, "not it", f"10.0.1.{attempt}", NOW)
    with pytest.raises(WrongPinError):
        gate.admit(receipt.number, receipt.pin, "10.0.0.1", NOW)
    assert actions(archive, receipt.number).count("pin_failed") == 10
    assert actions(archive, receipt.number)[-1] == "pin_locked"

    pin = reissue_pin(archive, secrets, receipt.number, Document.ID_CARD, STAFF, NOW)
    assert gate.admit(receipt.number, pin, "10.0.0.1", NOW)
    with pytest.raises(WrongPinError):
        gate.admit(receipt.number, receipt.pin, "10.0.0.1", NOW)
    (event,) = rows(archive, CustodyEvent, CustodyEvent.action == "pin_reissued")
    assert event.details == '{"document":"id_card"}'


def test_parallel_guesses_are_not_more_than_ten(archive, footage, registrar, secrets) -> None:
    receipt = registrar.register(APPLICATION, "10.0.0.1", NOW)
    gate = Gate(archive, secrets, wrong_answer_after_s=0)

    def guess(number: int) -> None:
        with pytest.raises(WrongPinError):
            gate.admit(receipt.number, f"{number:08d}x", f"10.0.2.{number}", NOW)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert actions(archive, receipt.number).count("pin_failed") == 10
    assert actions(archive, receipt.number).count("pin_locked") == 1


def test_a_right_pin_forgets_earlier_slips(archive, footage, registrar, gate) -> None:
    receipt = registrar.register(APPLICATION, "10.0.0.1", NOW)
    for _ in range(3):
        for attempt in range(4):
            with pytest.raises(WrongPinError):
                gate.admit(receipt.number, "wrong", f"10.0.1.{attempt}", NOW)
        assert gate.admit(receipt.number, receipt.pin, "10.0.0.1", NOW)


def test_one_address_is_throttled_before_it_locks_many_numbers(archive, footage, registrar, gate) -> None:
    receipt = registrar.register(APPLICATION, "10.0.0.1", NOW)
    for serial in range(MAX_FAILURES_OF_ADDRESS):
        with pytest.raises(WrongPinError):
            gate.admit(f"2026-{serial:06d}-0", "00000000", "10.0.0.9", NOW)
    with pytest.raises(ThrottledError):
        gate.admit(receipt.number, receipt.pin, "10.0.0.9", NOW)
    assert gate.admit(receipt.number, receipt.pin, "10.0.0.8", NOW)


def test_reissuing_a_pin_ends_the_sessions_of_the_old_one(archive, footage, registrar, secrets) -> None:
    receipt = registrar.register(APPLICATION, "10.0.0.1", NOW)
    request = the_request(archive, receipt.number)
    with archive.database.transaction() as session:
        token = sessions.begin(session, archive, NOW, request_id=request.id)
    reissue_pin(archive, secrets, receipt.number, Document.PASSPORT, STAFF, NOW)
    assert sessions.find(archive, token, NOW) is None
    assert rows(archive, LoginSession) == []
    with pytest.raises(LookupError):
        reissue_pin(archive, secrets, "2026-000099-0", Document.PASSPORT, STAFF, NOW)


# --- review -----------------------------------------------------------------------------------------


def test_an_approved_request_keeps_its_interval_past_the_due_midnight_and_for_itself_alone(
    archive, footage, registrar, desk
) -> None:
    meeting, _ = footage
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    approve(desk, number)
    report = purge_at(archive, DUE)
    assert report.failures == []
    left = {row.id for row in rows(archive, Segment)}
    assert left == set(meeting[1:4]), "the segments of the approved six seconds, and no other"
    assert opens(archive, MINE, Ground("request", number), DUE + 1)
    for ground in (Ground("audit"), Ground("fault_check")):
        with pytest.raises(NoFootageError) as caught:
            opens(archive, MINE, ground, DUE + 1)
        assert caught.value.code == "expired"

    desk.close(number, "мешканець отримав запис", STAFF, DUE + US_PER_DAY)
    purge_at(archive, DUE + US_PER_DAY)
    assert rows(archive, Segment) == []
    assert actions(archive, number) == [
        "request_registered",
        "request_matched",
        "interval_set",
        "identity_recorded",
        "request_approved",
        "request_closed",
    ]
    with archive.database.reading() as session:
        assert list(custody.verify(session)) == []


def test_after_a_refusal_the_hold_stays_for_the_appeal_and_until_staff_end_it(
    archive, footage, registrar, desk
) -> None:
    meeting, _ = footage
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    desk.refuse(number, "присутність не підтверджено", STAFF, NOW)
    request = the_request(archive, number)
    appeal_ends = at(0, day=date(2026, 12, 24))
    assert request.appeal_until_us == appeal_ends
    (hold,) = rows(archive, Hold)
    assert hold.expires_us == appeal_ends
    with pytest.raises(DecisionError) as caught:
        desk.close(number, "час", STAFF, appeal_ends - 1)
    assert caught.value.code == "appeal_running"
    purge_at(archive, appeal_ends + US_PER_DAY)
    assert set(meeting) <= {row.id for row in rows(archive, Segment)}, "an expiry lets nothing go"
    desk.close(number, "строк оскарження минув", STAFF, appeal_ends)
    purge_at(archive, appeal_ends + US_PER_DAY)
    assert rows(archive, Segment) == []


def test_an_appeal_reopens_a_refusal_and_can_still_be_approved(archive, footage, registrar, desk) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    desk.refuse(number, "не знайшли", STAFF, NOW, not_found=True)
    desk.reopen(number, "скарга № 5", STAFF, NOW)
    (hold,) = rows(archive, Hold)
    assert hold.expires_us is None
    assert the_request(archive, number).appeal_until_us is None
    approve(desk, number)
    assert release_of(the_request(archive, number), NOW).interval == MINE


def test_a_withdrawn_request_keeps_its_hold_until_staff_end_it(archive, footage, registrar, desk) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    desk.withdraw(number, NOW)
    (hold,) = rows(archive, Hold)
    assert hold.released_us is None
    assert hold.expires_us == NOW
    with pytest.raises(IllegalTransition):
        desk.match(number, "108", STAFF, NOW)
    desk.close(number, "відкликано", STAFF, NOW)
    assert rows(archive, Hold)[0].released_us == NOW


def test_nothing_is_approved_before_its_time_or_other_than_it_was_seen(
    archive, footage, registrar, desk
) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    with pytest.raises(IllegalTransition) as caught:
        desk.approve(number, MINE, STAFF, NOW)
    assert caught.value.reason == "no_room"
    desk.match(number, "108", STAFF, NOW)
    desk.record_identity(number, Basis.KNOWN, "", STAFF, NOW)
    with pytest.raises(IllegalTransition):
        desk.approve(number, MINE, STAFF, NOW)
    desk.set_interval(number, MINE, STAFF, NOW)
    wider = Interval(MINE.start_us, MINE.end_us + US_PER_SECOND)
    desk.set_interval(number, wider, "user:2", NOW)
    with pytest.raises(DecisionError) as changed:
        desk.approve(number, MINE, STAFF, NOW)
    assert changed.value.code == "changed"
    with pytest.raises(DecisionError):
        desk.approve(number, wider, STAFF, NOW, partial=True)
    assert rows(archive, Hold)[0].start_us == at(10), "what failed has narrowed nothing"
    with pytest.raises(NotReleasedError):
        release_of(the_request(archive, number), NOW)


def test_two_deciders_cannot_both_decide(archive, footage, registrar, desk) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    desk.match(number, "108", STAFF, NOW)
    desk.set_interval(number, MINE, STAFF, NOW)
    desk.record_identity(number, Basis.DOCUMENT, "", STAFF, NOW)
    outcomes = []

    def decide(act) -> None:
        try:
            act()
            outcomes.append("done")
        except IllegalTransition as error:
            outcomes.append(error.reason)

    threads = [
        threading.Thread(target=decide, args=(lambda: desk.approve(number, MINE, STAFF, NOW),)),
        threading.Thread(target=decide, args=(lambda: desk.refuse(number, "ні", "user:2", NOW),)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["already_decided", "done"]


def test_only_what_was_asked_for_and_an_hour_around_can_be_set(archive, footage, registrar, desk) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    desk.match(number, "108", STAFF, NOW)
    for stranger in (
        Interval(at(8, 59), at(9, 30)),
        Interval(at(12), at(13, 0, 1)),
        Interval(at(9), at(12, 30)),
    ):
        with pytest.raises(OutOfReachError):
            desk.set_interval(number, stranger, STAFF, NOW)
    desk.set_interval(number, Interval(at(11, 30), at(12, 30)), STAFF, NOW)
    held = sorted((hold.start_us, hold.end_us) for hold in rows(archive, Hold))
    assert held == [(at(10), at(12)), (at(11, 30), at(12, 30))], "what reaches beyond the hold is held too"
    desk.record_identity(number, Basis.BOOKING, "", STAFF, NOW)
    desk.approve(number, Interval(at(11, 30), at(12, 30)), STAFF, NOW)
    held = sorted((hold.start_us, hold.end_us) for hold in rows(archive, Hold, Hold.released_us.is_(None)))
    assert held == [(at(11, 30), at(12)), (at(11, 30), at(12, 30))]


def test_another_room_is_held_from_the_match_on(archive, footage, registrar, desk) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    desk.match(number, "228-a", STAFF, NOW)
    assert {hold.room for hold in rows(archive, Hold)} == {"108", "228-a"}
    desk.match(number, "108", STAFF, NOW)
    assert len(rows(archive, Hold)) == 2, "what is held already is not held twice"


def test_candidates_name_the_asked_room_first_then_what_was_recorded(archive, footage, registrar) -> None:
    asked = registrar.register(application(room="228-a"), "10.0.0.1", NOW).number
    unknown = registrar.register(application(room=None), "10.0.0.1", NOW).number
    with archive.database.reading() as session:
        rooms = archive.configurations.current(session)[1]

        def found(number):
            request = session.scalar(select(Request).where(Request.number == number))
            return [(each.room, each.recorded_us) for each in candidates(session, request, rooms)]

        assert found(asked) == [("228-a", 0), ("108", 10 * US_PER_SECOND)]
        assert found(unknown) == [("108", 10 * US_PER_SECOND), ("228-a", 0)]


@pytest.mark.parametrize("note", ["КС 123456", "паспорт 12 34 56 78", "id 001-234-567"])
def test_a_document_number_is_never_kept(archive, footage, registrar, desk, note) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    with pytest.raises(DecisionError) as caught:
        desk.record_identity(number, Basis.DOCUMENT, note, STAFF, NOW)
    assert caught.value.code == "document_number"
    assert the_request(archive, number).identity_note is None


def test_the_link_ends_at_its_midnight(archive, footage, registrar, desk) -> None:
    number = registrar.register(APPLICATION, "10.0.0.1", NOW).number
    approve(desk, number)
    request = the_request(archive, number)
    assert request.link_until_us == at(0, day=date(2026, 12, 24))
    assert release_of(request, request.link_until_us - 1).room == "108"
    with pytest.raises(NotReleasedError) as caught:
        release_of(request, request.link_until_us)
    assert caught.value.code == "link_expired"


def test_an_unknown_number_is_said_to_be_unknown(desk) -> None:
    with pytest.raises(UnknownRequestError):
        desk.withdraw("2026-000009-9", NOW)
