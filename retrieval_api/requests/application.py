"""What a resident filled in → an application, or what is wrong with it, field by field. Pure.

Messages are Ukrainian message ids (`retrieval_api.i18n` translates them when they are shown) and say
what to do. Values are never changed behind the resident's back: only blanks at the ends are cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from recorder.errors import UnknownRoomError
from recorder.instants import local_date
from recorder.intervals import Interval
from recorder.rooms import RoomsFile
from recorder.working_hours import due_us
from retrieval_api.i18n import N_
from retrieval_api.requests.asked_interval import (
    About,
    Remembered,
    asked_interval,
    local_instant_us,
    parse_day,
    parse_time,
)

# The choice «Не пам'ятаю» of the room list.
UNKNOWN_ROOM = "unknown"
LIMITS = {"room": 60, "date": 20, "time": 20, "official": 200, "purpose": 1000, "name": 200, "contact": 200}
# What a shown-again field holds at most: a pasted book is not sent back in full.
_SHOWN_AGAIN = 4000
# RFC 5321 is far wider; this finds slips of the finger and keeps header injection out.
_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\.]+(\.[^\s@<>,;:\"()\[\]\\.]+)+")
_PHONE_DIGITS = range(9, 16)


class ContactKind(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    PERSON = "person"


class Step(StrEnum):
    """The pages, in order; each asks for the fields of FIELDS."""

    WHEN = "when"
    WHOM = "whom"
    CONTACT = "contact"
    CHECK = "check"


FIELDS: Mapping[Step, tuple[str, ...]] = {
    Step.WHEN: ("room", "date", "about", "time"),
    Step.WHOM: ("official", "purpose"),
    Step.CONTACT: ("name", "contact_kind", "email", "phone"),
    Step.CHECK: (),
}
ALL_FIELDS = tuple(name for names in FIELDS.values() for name in names)


class Problem(NamedTuple):
    """`message % values` is the sentence; `field` is where it stands."""

    field: str
    message: str
    values: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Application:
    """A complete and valid application. `room` is None when it is not remembered; `contact` is
    normalised, and empty when the answer is collected in person.
    """

    room: str | None
    remembered: Remembered
    interval: Interval
    official: str
    purpose: str
    name: str
    contact_kind: ContactKind
    contact: str
    language: str = "uk"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What validation needs to know of the world: the rooms in force and the instant."""

    rooms: RoomsFile
    now_us: int

    @property
    def zone(self) -> str:
        return self.rooms.council.timezone

    @property
    def today(self) -> date:
        return local_date(self.now_us, self.zone)

    def destroyed_us(self, day: date) -> int:
        """The midnight at which recordings of that date are destroyed."""
        return due_us(day, self.rooms.retention.months, self.zone)


def clean(form: Mapping[str, str]) -> dict[str, str]:
    """The known fields, without blanks at their ends; absent ones are empty."""
    return {name: form.get(name, "").strip() for name in ALL_FIELDS}


def shown_again(values: Mapping[str, str]) -> dict[str, str]:
    """What goes back into the fields after an error: everything, but a pasted book only in part."""
    return {name: value[:_SHOWN_AGAIN] for name, value in values.items()}


def problems(step: Step, values: Mapping[str, str], world: Circumstances) -> list[Problem]:
    """What is wrong on one page, in the order of its fields; nothing for a page that is right."""
    match step:
        case Step.WHEN:
            return _when_problems(values, world)
        case Step.WHOM:
            return _whom_problems(values)
        case Step.CONTACT:
            return _contact_problems(values)
        case Step.CHECK:
            return []


def complete(
    values: Mapping[str, str], world: Circumstances, language: str = "uk"
) -> Application | list[Problem]:
    """The application, or every problem of every page."""
    found = [problem for step in Step for problem in problems(step, values, world)]
    remembered = _remembered(values)
    if found or remembered is None:
        return found
    kind = ContactKind(values["contact_kind"])
    contact = {
        ContactKind.EMAIL: normal_email(values["email"]),
        ContactKind.PHONE: normal_phone(values["phone"]),
        ContactKind.PERSON: "",
    }[kind]
    return Application(
        room=None if values["room"] == UNKNOWN_ROOM else world.rooms.room(values["room"]).id,
        remembered=remembered,
        interval=asked_interval(remembered, world.zone),
        official=values["official"],
        purpose=values["purpose"],
        name=values["name"],
        contact_kind=kind,
        contact=contact or "",
        language=language if language in {"uk", "en"} else "uk",
    )


def normal_email(text: str) -> str | None:
    """Lower case, or None when it is no address."""
    return text.casefold() if _EMAIL.fullmatch(text) else None


def normal_phone(text: str) -> str | None:
    """`067 123-45-67` → `+380671234567`; None when the digits are too few, too many, or not digits."""
    if not re.fullmatch(r"\+?[\d\s()./\u2010-\u2015-]+", text):
        return None
    digits = "".join(c for c in text if c.isdigit())
    if not digits.isascii() or len(digits) not in _PHONE_DIGITS:
        return None
    if text.startswith("+"):
        return f"+{digits}"
    if digits.startswith("0") and len(digits) == 10:
        return f"+38{digits}"
    return f"+{digits}" if digits.startswith("380") else digits


def _remembered(values: Mapping[str, str]) -> Remembered | None:
    day = parse_day(values["date"])
    if day is None or values["about"] not in set(About):
        return None
    about = About(values["about"])
    at = parse_time(values["time"]) if about.needs_time else None
    return None if about.needs_time and at is None else Remembered(day, about, at)


def _when_problems(values: Mapping[str, str], world: Circumstances) -> list[Problem]:
    found = [*_room_problems(values["room"], world.rooms)]
    day_problem = _day_problem(values["date"], world)
    if day_problem:
        found.append(day_problem)
    if values["about"] not in set(About):
        found.append(Problem("about", N_("Позначте, наскільки точно Ви пам'ятаєте час.")))
    elif About(values["about"]).needs_time:
        time_problem = _time_problem(values["time"], parse_day(values["date"]), world)
        if time_problem and not (day_problem and parse_time(values["time"])):
            found.append(time_problem)
    return found


def _room_problems(text: str, rooms: RoomsFile) -> list[Problem]:
    if not text:
        return [Problem("room", N_("Виберіть кабінет. Якщо не пам'ятаєте його, виберіть «Не пам'ятаю»."))]
    if text == UNKNOWN_ROOM:
        return []
    try:
        rooms.room(text[: LIMITS["room"]])
    except UnknownRoomError:
        return [
            Problem(
                "room", N_("Кабінету «%(room)s» немає у списку. Виберіть зі списку."), {"room": text[:40]}
            )
        ]
    return []


def _day_problem(text: str, world: Circumstances) -> Problem | None:
    if not text:
        return Problem("date", N_("Вкажіть дату зустрічі."))
    day = parse_day(text)
    if day is None or day.year < 2000:
        return Problem("date", N_("Не вдалося прочитати дату. Напишіть її так: 20.11.2026."))
    if day > world.today:
        return Problem("date", N_("Ця дата ще не настала. Перевірте її."))
    gone_us = world.destroyed_us(day)
    if gone_us <= world.now_us:
        return Problem(
            "date",
            N_(
                "Запис за %(day)s знищено %(gone)s о 00:00. Записи зберігаються %(months)s міс., "
                "копій не лишається. Перевірте, чи правильна дата."
            ),
            {
                "day": f"{day:%d.%m.%Y}",
                "gone": f"{local_date(gone_us, world.zone):%d.%m.%Y}",
                "months": world.rooms.retention.months,
            },
        )
    return None


def _time_problem(text: str, day: date | None, world: Circumstances) -> Problem | None:
    if not text:
        return Problem("time", N_("Вкажіть, о котрій приблизно почалася зустріч, наприклад 10:30."))
    at: time | None = parse_time(text)
    if at is None:
        return Problem("time", N_("Не вдалося прочитати час. Напишіть його так: 10:30."))
    if day == world.today and local_instant_us(day, at, world.zone) > world.now_us:
        return Problem("time", N_("Цей час сьогодні ще не настав. Перевірте його."))
    return None


def _text_problem(name: str, text: str, empty: str) -> list[Problem]:
    if not text:
        return [Problem(name, empty)]
    limit = LIMITS.get(name, LIMITS["contact"])
    if len(text) > limit:
        return [
            Problem(
                name,
                N_("Тут вміщується %(limit)s знаків, а Ви ввели %(length)s. Скоротіть текст."),
                {"limit": limit, "length": len(text)},
            )
        ]
    if not re.sub(r"[\r\n\t]", " ", text).isprintable():
        return [Problem(name, N_("У тексті є невидимі знаки. Введіть його з клавіатури."))]
    return []


def _whom_problems(values: Mapping[str, str]) -> list[Problem]:
    return [
        *_text_problem(
            "official", values["official"], N_("Напишіть, з ким Ви зустрічалися: ім'я або посаду.")
        ),
        *_text_problem("purpose", values["purpose"], N_("Напишіть коротко, для чого Вам запис.")),
    ]


def _contact_problems(values: Mapping[str, str]) -> list[Problem]:
    found = _text_problem("name", values["name"], N_("Напишіть своє ім'я та прізвище."))
    match values["contact_kind"]:
        case ContactKind.EMAIL:
            found += _text_problem(
                "email", values["email"], N_("Напишіть адресу електронної пошти.")
            ) or _unless(
                normal_email(values["email"]),
                "email",
                N_("Це не схоже на адресу пошти. Напишіть її так: ivanenko@example.com."),
            )
        case ContactKind.PHONE:
            found += _text_problem("phone", values["phone"], N_("Напишіть номер телефону.")) or _unless(
                normal_phone(values["phone"]),
                "phone",
                N_("Це не схоже на номер телефону. Напишіть його так: 067 123 45 67."),
            )
        case ContactKind.PERSON:
            pass
        case _:
            found.append(Problem("contact_kind", N_("Виберіть, як Вам відповісти.")))
    return found


def _unless(value: str | None, name: str, message: str) -> list[Problem]:
    return [] if value else [Problem(name, message)]
