"""Registering a request: the number is given out by the transaction that makes the hold stand.

Invariant 7 begins here: whoever has seen the number can rely on the interval being kept.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import custody, search
from archive.models import Request, RequestPerson
from archive.postgresql import serialise
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import local_date, local_midnight_us
from retention import holds
from retrieval_api.requests.application import Application, ContactKind
from retrieval_api.requests.keys import RequestSecrets, contact_commitment, new_pin
from retrieval_api.requests.numbers import make_number
from retrieval_api.requests.receipts import Receipt
from retrieval_api.requests.states import Status

LEGAL_GROUND = "request"
_OPEN = (Status.REGISTERED.value, Status.IN_REVIEW.value)


class TooManyOpenError(ProtokolError):
    """This contact or this network address has as many open requests as are allowed."""

    def __init__(self, whose: str, limit: int) -> None:
        super().__init__(
            f"this {whose} has {limit} open requests already; wait for an answer, or come in person"
        )
        self.whose = whose
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Registrar:
    """Registers requests into one archive."""

    archive: Archive
    secrets: RequestSecrets

    def register(self, application: Application, address: str, now_us: int) -> Receipt:
        """Durable on return: request, person, holds and custody events, in one transaction.

        Without a room the hold covers that interval in every room of the council, and in those that
        have left its rooms file since that date. Raises
        TooManyOpenError; DayGoneError when the recording has fallen due since the form was checked.
        """
        pin = new_pin()
        pin_hash = self.secrets.hash_pin(pin)
        with self.archive.database.transaction() as session:
            # The bound on open requests is counted: two at once must not both be the last one.
            serialise(session, "registration")
            _, rooms = self.archive.configurations.current(session)
            zone = rooms.council.timezone
            date = application.remembered.day.isoformat()
            wanted = [application.room] if application.room else search.rooms_of(session, rooms, date)
            # Room-days are everybody's first locks (invariant 7).
            holds.lock_days(session, self.archive, [(room, application.interval) for room in wanted])
            person = self._person(application)
            address_sha256 = self.secrets.address_lookup(address)
            self._require_few_open(session, person, address_sha256)
            today = local_date(now_us, zone)
            answer_date = today + timedelta(days=self.archive.settings.answer_days)
            request = Request(
                number=f"new-{secrets.token_hex(6)}",
                pin_hash=pin_hash,
                status=Status.REGISTERED.value,
                room=application.room,
                date=date,
                asked_start_us=application.interval.start_us,
                asked_end_us=application.interval.end_us,
                answer_due_us=local_midnight_us(answer_date + timedelta(days=1), zone),
                created_us=now_us,
                address_sha256=address_sha256,
                language=application.language,
            )
            session.add(request)
            session.flush()
            # The serial number is the row's own id, known only now.
            request.number = make_number(today.year, request.id)
            person.request_id = request.id
            session.add(person)
            session.flush()
            self._hold(session, request, wanted, application, now_us)
            custody.append(session, self._event(request, person, wanted, now_us))
        return Receipt(request.number, pin, answer_date)

    def _person(self, application: Application) -> RequestPerson:
        # Who collects the answer in person has no contact: the name stands for it in the bound.
        looked_up = application.contact or " ".join(application.name.casefold().split())
        return RequestPerson(
            name=application.name,
            contact_kind=application.contact_kind.value,
            contact=application.contact,
            contact_sha256=self.secrets.contact_lookup(application.contact_kind.value, looked_up),
            salt=secrets.token_bytes(32),
            official=application.official,
            purpose=application.purpose,
        )

    def _require_few_open(self, session: Session, person: RequestPerson, address_sha256: str) -> None:
        settings = self.archive.settings
        still_open = select(func.count()).select_from(Request).where(Request.status.in_(_OPEN))
        of_contact = still_open.join(RequestPerson).where(
            RequestPerson.contact_sha256 == person.contact_sha256
        )
        if (session.scalar(of_contact) or 0) >= settings.open_requests_per_contact:
            raise TooManyOpenError("contact", settings.open_requests_per_contact)
        of_address = still_open.where(Request.address_sha256 == address_sha256)
        if (session.scalar(of_address) or 0) >= settings.open_requests_per_address:
            raise TooManyOpenError("network address", settings.open_requests_per_address)

    def _hold(
        self, session: Session, request: Request, rooms: list[str], application: Application, now_us: int
    ) -> None:
        actor = f"request:{request.number}"
        orders = [
            holds.HoldOrder(
                room=room,
                interval=application.interval,
                reason=actor,
                legal_ground=LEGAL_GROUND,
                author=actor,
                request_id=request.id,
            )
            for room in rooms
        ]
        holds.place(session, self.archive, orders, now_us)

    def _event(self, request: Request, person: RequestPerson, rooms: list[str], now_us: int) -> custody.Event:
        contact = person.contact or person.name
        return custody.Event(
            "request_registered",
            f"request:{request.number}",
            now_us,
            room=request.room,
            date=request.date,
            subject=f"request:{request.number}",
            details={
                "asked": [request.asked_start_us, request.asked_end_us],
                "contact": contact_commitment(person.salt, contact),
                "contact_kind": ContactKind(person.contact_kind).value,
                "rooms": rooms,
            },
        )
