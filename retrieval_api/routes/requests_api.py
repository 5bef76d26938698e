"""Requests by programs: a kiosk or a chat bot of the council registers and asks on a resident's behalf."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from recorder.instants import format_instant
from recorder.rooms import RoomsFile
from retention.errors import DayGoneError
from retrieval_api.i18n import Localizer
from retrieval_api.pages import NowDep, localizer_of, rooms_of
from retrieval_api.problems import Problem
from retrieval_api.requests.access import ThrottledError, WrongPinError
from retrieval_api.requests.application import UNKNOWN_ROOM, Application, Circumstances, clean, complete
from retrieval_api.requests.decision import state_of
from retrieval_api.requests.registration import TooManyOpenError
from retrieval_api.requests.services import RequestServices, address_of, services_of

router = APIRouter(prefix="/api/v1/requests", tags=["requests"])

# Longer than any field; what exceeds a field's own limit is told field by field.
_Text = Annotated[str, Field(max_length=4000)]


class NewRequest(BaseModel):
    """A resident's application. Without `room` the interval is kept in every room."""

    model_config = ConfigDict(extra="forbid")

    room: _Text | None = Field(None, description="id or label; null when it is not remembered")
    date: _Text = Field(description="2026-11-20 or 20.11.2026, local date of the meeting")
    about: _Text = Field("hour", description="half_hour, hour, morning or afternoon: how well it is known")
    time: _Text = Field("", description="10:30, local time; not needed for morning and afternoon")
    official: _Text = Field(description="whom the resident met: name or post")
    purpose: _Text
    name: _Text
    contact_kind: _Text = Field(description="email, phone or person")
    contact: _Text = Field("", description="the address or the number")
    language: _Text = Field("uk", description="uk or en")


class Registered(BaseModel):
    """The PIN is given out here and nowhere else."""

    number: str
    pin: str
    answer_due: str = Field(description="the local date by which an answer is given")


class Pin(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pin: Annotated[str, Field(max_length=64)]


class StatusAnswer(BaseModel):
    number: str
    status: str
    outcome: str | None
    answer_due: str
    reason: str | None
    available_until: str | None


@router.post("", status_code=201)
def register(
    body: NewRequest,
    rooms: Annotated[RoomsFile, Depends(rooms_of)],
    services: Annotated[RequestServices, Depends(services_of)],
    now_us: NowDep,
    address: Annotated[str, Depends(address_of)],
    texts: Annotated[Localizer, Depends(localizer_of)],
) -> Registered:
    """Registers a request; from the answer on, the interval cannot be purged until it is decided."""
    given = body.model_dump(exclude={"contact", "language"})
    given["room"] = body.room or UNKNOWN_ROOM
    given["email"] = given["phone"] = body.contact
    application = complete(clean(given), Circumstances(rooms, now_us), body.language)
    if not isinstance(application, Application):
        faults = [
            {"field": each.field, "message": texts.gettext(each.message, **each.values)}
            for each in application
        ]
        detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
        raise Problem(422, "invalid_request", detail, faults=faults)
    try:
        receipt = services.registrar.register(application, address, now_us)
    except TooManyOpenError as error:
        raise Problem(429, "too_many_open_requests", str(error)) from error
    except DayGoneError as error:
        raise Problem(410, "recording_gone", str(error)) from error
    return Registered(number=receipt.number, pin=receipt.pin, answer_due=receipt.answer_date.isoformat())


@router.post("/{number}/status")
def status(
    number: str,
    body: Pin,
    services: Annotated[RequestServices, Depends(services_of)],
    rooms: Annotated[RoomsFile, Depends(rooms_of)],
    now_us: NowDep,
    address: Annotated[str, Depends(address_of)],
) -> StatusAnswer:
    """The state of a request. Ten wrong PINs lock it; a wrong PIN and an unknown number look alike."""
    try:
        found = services.gate.admit(number, body.pin, address, now_us)
    except WrongPinError as error:
        raise Problem(403, "wrong_pin", str(error)) from error
    except ThrottledError as error:
        raise Problem(429, "too_many_attempts", str(error)) from error
    zone = rooms.council.timezone

    def day(instant_us: int | None) -> str | None:
        """The last local date before a midnight."""
        return None if instant_us is None else format_instant(instant_us - 1, zone)[:10]

    facts: dict[str, Any] = {
        "number": found.number,
        "status": state_of(found).status.value,
        "outcome": found.outcome,
        "answer_due": day(found.answer_due_us),
        "reason": found.decision_reason or None,
        "available_until": day(found.link_until_us),
    }
    return StatusAnswer(**facts)
