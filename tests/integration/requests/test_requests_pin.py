"""PINs: right, wrong, locked, reissued."""

from __future__ import annotations

import threading

import pytest

from archive.models import CustodyEvent, LoginSession
from retrieval_api import sessions
from retrieval_api.requests.access import (
    MAX_FAILURES_OF_ADDRESS,
    Document,
    Gate,
    ThrottledError,
    WrongPinError,
    reissue_pin,
)
from tests.integration.requests.desk import NOW, STAFF, actions, rows, the_request
from tests.requesting import APPLICATION

pytestmark = pytest.mark.both_databases


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
