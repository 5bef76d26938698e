"""From the match to the end of the hold, against real footage, purge and custody log."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from sqlalchemy import select

from archive import custody
from archive.door import Ground, NoFootageError
from archive.models import Hold, Request, Segment
from recorder.instants import US_PER_DAY, US_PER_SECOND
from recorder.intervals import Interval
from retrieval_api.release.recording import NotReleasedError, release_of
from retrieval_api.requests.decision import Basis, DecisionError, Seen, UnknownRequestError
from retrieval_api.requests.matching import OutOfReachError, candidates
from retrieval_api.requests.states import IllegalTransition
from tests.integration.requests.desk import DUE, MINE, NOW, STAFF, actions, approve, opens, rows, the_request
from tests.requesting import APPLICATION, application, at, purge_at

pytestmark = pytest.mark.both_databases


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
        desk.approve(number, Seen("108", MINE), STAFF, NOW)
    assert caught.value.reason == "no_room"
    desk.match(number, "108", STAFF, NOW)
    desk.record_identity(number, Basis.KNOWN, "", STAFF, NOW)
    with pytest.raises(IllegalTransition):
        desk.approve(number, Seen("108", MINE), STAFF, NOW)
    desk.set_interval(number, MINE, STAFF, NOW)
    wider = Interval(MINE.start_us, MINE.end_us + US_PER_SECOND)
    desk.set_interval(number, wider, "user:2", NOW)
    with pytest.raises(DecisionError) as changed:
        desk.approve(number, Seen("108", MINE), STAFF, NOW)
    assert changed.value.code == "changed"
    with pytest.raises(DecisionError) as changed:
        desk.approve(number, Seen("228-a", wider), STAFF, NOW)
    assert changed.value.code == "changed", "the same times of another room are another meeting"
    with pytest.raises(DecisionError):
        desk.approve(number, Seen("108", wider), STAFF, NOW, partial=True)
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
        threading.Thread(target=decide, args=(lambda: desk.approve(number, Seen("108", MINE), STAFF, NOW),)),
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
    desk.approve(number, Seen("108", Interval(at(11, 30), at(12, 30))), STAFF, NOW)
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
