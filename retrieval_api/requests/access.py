"""A resident's way in: number + PIN → the request. Ten wrong PINs lock a number until staff reissue it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import custody
from archive.models import Request
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import US_PER_MINUTE
from retrieval_api import sessions
from retrieval_api.requests import journal
from retrieval_api.requests.keys import PIN_DIGITS, RequestSecrets, new_pin, plain_pin
from retrieval_api.requests.numbers import parse_number
from retrieval_api.throttle import Throttle

MAX_FAILURES = 10
# One address can lock one stranger's number in a quarter of an hour, and is heard in the log then.
MAX_FAILURES_OF_ADDRESS = 15
ADDRESS_WINDOW_US = 15 * US_PER_MINUTE
# Longer than checking a PIN and writing the failure take: no answer's time tells what was wrong.
WRONG_ANSWER_AFTER_S = 0.4


class WrongPinError(ProtokolError):
    """Number and PIN do not belong together, or the number is locked or unknown: one answer for all."""


class ThrottledError(ProtokolError):
    """Too many wrong PINs from one network address."""


class Document(StrEnum):
    """Kinds of document on which a PIN is reissued. Its number is never recorded."""

    PASSPORT = "passport"
    ID_CARD = "id_card"
    RESIDENCE_PERMIT = "residence_permit"
    DRIVING_LICENCE = "driving_licence"
    DIIA = "diia"
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class Gate:
    """Checks the PINs of one archive's requests. Safe to share between threads."""

    archive: Archive
    secrets: RequestSecrets
    throttle: Throttle = field(default_factory=lambda: Throttle(MAX_FAILURES_OF_ADDRESS, ADDRESS_WINDOW_US))
    wrong_answer_after_s: float = WRONG_ANSWER_AFTER_S

    def admit(self, number_text: str, pin_text: str, address: str, now_us: int) -> Request:
        """The request whose number and PIN these are.

        Raises WrongPinError in every other case, with the same words and after the same time, so that
        the answer does not tell whether a number exists or is locked. Raises ThrottledError, before
        any work, for an address that has guessed too often.
        """
        key = self.secrets.address_lookup(address)
        if self.throttle.is_closed(key, now_us):
            raise ThrottledError("too many wrong PINs from this network address; wait 15 minutes")
        answer_at_s = time.monotonic() + self.wrong_answer_after_s
        request = self._take_attempt(parse_number(number_text))
        is_right = self.secrets.verify_pin(request.pin_hash if request else None, plain_pin(pin_text))
        if request is not None and is_right:
            self._let_in(request, now_us)
            return request
        self.throttle.failed(key, now_us)
        if request is not None:
            self._record_failure(request, now_us)
        time.sleep(max(0.0, answer_at_s - time.monotonic()))
        raise WrongPinError(f"number and PIN ({PIN_DIGITS} digits) do not belong together")

    def _take_attempt(self, number: str | None) -> Request | None:
        """Count the attempt as failed *before* it is verified: parallel guesses cannot exceed the bound."""
        with self.archive.database.transaction() as session:
            request = _locked(session, Request.number == number) if number else None
            if request is None or is_locked(request):
                return None
            request.pin_failures += 1
            return request

    def _record_failure(self, attempted: Request, now_us: int) -> None:
        with self.archive.database.transaction() as session:
            request = _locked(session, Request.id == attempted.id)
            if request is None or request.pin_hash != attempted.pin_hash:
                return
            events = [journal.event("pin_failed", request, "system", now_us)]
            if is_locked(request) and request.pin_locked_us is None:
                request.pin_locked_us = now_us
                events.append(journal.event("pin_locked", request, "system", now_us))
            custody.append(session, *events)

    def _let_in(self, admitted: Request, now_us: int) -> None:
        """A log-in is a custody event (invariant 8); a right PIN forgets the wrong ones before it."""
        with self.archive.database.transaction() as session:
            request = _locked(session, Request.id == admitted.id)
            if request is not None and request.pin_hash == admitted.pin_hash:
                request.pin_failures = 0
            actor = f"request:{admitted.number}"
            custody.append(session, journal.event("request_opened", admitted, actor, now_us))


def is_locked(request: Request) -> bool:
    """No PIN opens this number until a new one is issued."""
    return request.pin_failures >= MAX_FAILURES


def reissue_pin(
    archive: Archive, secrets: RequestSecrets, number: str, document: Document, actor: str, now_us: int
) -> str:
    """A new PIN, given to somebody who has shown a document of that kind; unlocks the number.

    On return the old PIN is dead, and so are the sessions that it opened. Raises LookupError for an
    unknown number.
    """
    pin = new_pin()
    pin_hash = secrets.hash_pin(pin)
    with archive.database.transaction() as session:
        request = _locked(session, Request.number == number)
        if request is None:
            raise LookupError(number)
        request.pin_hash, request.pin_failures, request.pin_locked_us = pin_hash, 0, None
        sessions.end_all_of_request(session, request.id)
        custody.append(
            session, journal.event("pin_reissued", request, actor, now_us, document=document.value)
        )
    return pin


def _locked(session: Session, where: object) -> Request | None:
    statement = select(Request).where(where).with_for_update()  # type: ignore[arg-type]
    return session.scalars(statement).one_or_none()
