"""The custody log for auditors: found by day, room and subject; told in words; exported whole."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from archive.models import CustodyEvent
from archive.system import Archive
from recorder.instants import format_instant, local_midnight_us
from retrieval_api import accounts, wording
from retrieval_api.i18n import Localizer

PAGE_SIZE = 100
_BATCH = 1000
_SHORT_HASH = 12
# What machines do by the minute drowns what people did.
_MACHINE_ACTIONS = ("segment_accepted", "gap_accepted")
_PLACES = {name: place for place, name in enumerate(wording.DETAILS)}
_HASH = re.compile(r"[0-9a-f]{64}")
# 2001: counts and sizes of our events are smaller, instants are larger.
_SOME_INSTANT_US = 10**15
_COLUMNS = ("sequence", "at", "actor", "action", "room", "date", "subject", "details", "sha256")


@dataclass(frozen=True, slots=True)
class Filter:
    """None and empty mean any. `day` is when it was done, `footage` the local date of the footage."""

    day: date | None = None
    room: str | None = None
    footage: date | None = None
    subject: str = ""
    machines: bool = False


class Fact(NamedTuple):
    """One of an event's details. `is_quoted`: the value is in English, whatever the reader's language."""

    name: str
    value: str
    is_quoted: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One event in words."""

    sequence: int
    at_us: int
    who: str
    what: str
    room: str
    footage: date | None
    subject: str
    facts: tuple[Fact, ...]


def page(session: Session, wanted: Filter, zone: str, before: int | None) -> tuple[list[CustodyEvent], bool]:
    """The newest events first, those before the sequence number `before`; whether there are more."""
    statement = _matching(wanted, zone).order_by(CustodyEvent.sequence.desc()).limit(PAGE_SIZE + 1)
    if before is not None:
        statement = statement.where(CustodyEvent.sequence < before)
    rows = list(session.scalars(statement))
    return rows[:PAGE_SIZE], len(rows) > PAGE_SIZE


def everything(archive: Archive, wanted: Filter, zone: str) -> Iterator[CustodyEvent]:
    """All matching events, the oldest first, in short transactions: a slow reader holds none open."""
    last = 0
    while True:
        statement = _matching(wanted, zone).where(CustodyEvent.sequence > last)
        with archive.database.reading() as session:
            rows = list(session.scalars(statement.order_by(CustodyEvent.sequence).limit(_BATCH)))
        yield from rows
        if len(rows) < _BATCH:
            return
        last = rows[-1].sequence


def _matching(wanted: Filter, zone: str) -> Select[CustodyEvent]:
    statement = select(CustodyEvent)
    if wanted.day is not None:
        statement = statement.where(
            CustodyEvent.at_us >= local_midnight_us(wanted.day, zone),
            CustodyEvent.at_us < local_midnight_us(wanted.day + timedelta(days=1), zone),
        )
    if wanted.room is not None:
        statement = statement.where(CustodyEvent.room == wanted.room)
    if wanted.footage is not None:
        statement = statement.where(CustodyEvent.date == wanted.footage.isoformat())
    if wanted.subject:
        statement = statement.where(CustodyEvent.subject == wanted.subject)
    if not wanted.machines:
        statement = statement.where(CustodyEvent.action.not_in(_MACHINE_ACTIONS))
    return statement


# --- in words ---------------------------------------------------------------------------------------


def lines(session: Session, rows: list[CustodyEvent], texts: Localizer, labels: dict[str, str]) -> list[Line]:
    """`labels`: room id → label."""
    people = accounts.names(session)
    return [
        Line(
            row.sequence,
            row.at_us,
            _who(row.actor, people, texts),
            texts.gettext(wording.action(row.action)),
            labels.get(row.room or "", row.room or ""),
            date.fromisoformat(row.date) if row.date else None,
            _who(row.subject or "", people, texts),
            tuple(_facts(json.loads(row.details), texts, labels)),
        )
        for row in rows
    ]


def _who(actor: str, people: dict[str, str], texts: Localizer) -> str:
    kind, _, reference = actor.partition(":")
    if kind == "user":
        return people.get(actor, actor)
    labels = wording.ACTORS
    if kind in labels:
        return texts.gettext(labels[kind], reference=reference)
    return actor


def _facts(details: dict[str, Any], texts: Localizer, labels: dict[str, str]) -> Iterator[Fact]:
    """Times as times, grounds as words, hashes by their beginning (the exports have them whole)."""
    for name, value in sorted(details.items(), key=_place):
        label = texts.gettext(wording.DETAILS.get(name, name))
        if value is None:
            continue
        if name.endswith("_us") and isinstance(value, int):
            yield Fact(label, f"{texts.date(value)}, {texts.time_seconds(value)}")
        elif _is_span(value):
            start, end = (f"{texts.date(each)}, {texts.time_seconds(each)}" for each in value)
            yield Fact(label, f"{start} – {end}")
        elif name == "ground" and isinstance(value, str):
            kind, _, reference = value.partition(":")
            yield Fact(label, texts.gettext(wording.GROUNDS.get(kind, value), reference=reference))
        elif (word := _word(name, value)) is not None:
            yield Fact(label, texts.gettext(word))
        elif isinstance(value, str) and _HASH.fullmatch(value):
            yield Fact(label, f"{value[:_SHORT_HASH]}…")
        elif name.endswith("_bytes") and isinstance(value, int):
            yield Fact(label, texts.bytes(value))
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            yield Fact(label, ", ".join(labels.get(str(each), str(each)) for each in value))
        else:
            told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            # Beside a code the reason is the archive's own, else it is what a person wrote.
            yield Fact(label, told, is_quoted=name == "reason" and "code" in details)


def _place(detail: tuple[str, Any]) -> tuple[int, str]:
    """What has a name of ours comes in its order, the rest after it."""
    name, _ = detail
    return (_PLACES.get(name, len(_PLACES)), name)


def _word(name: str, value: object) -> str | None:
    known = wording.VALUES.get(name, {})
    key = json.dumps(value) if isinstance(value, bool) else value
    return known.get(key) if isinstance(key, str) else None


def _is_span(value: object) -> bool:
    """`[start_us, end_us]`: two instants of our time, in order."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(each, int) and each > _SOME_INSTANT_US for each in value)
        and value[0] < value[1]
    )


# --- exports ----------------------------------------------------------------------------------------


def as_json(rows: Iterator[CustodyEvent], zone: str) -> Iterator[bytes]:
    """A JSON array, an event a line, with everything that its hash covers."""
    separator = b"[\n"
    for row in rows:
        yield separator + json.dumps(_document(row, zone), ensure_ascii=False).encode()
        separator = b",\n"
    yield b"\n]\n" if separator != b"[\n" else b"[]\n"


def as_csv(rows: Iterator[CustodyEvent], zone: str) -> Iterator[bytes]:
    """UTF-8 with a byte order mark, so that a spreadsheet reads Ukrainian."""
    yield "\ufeff".encode() + _csv_line(_COLUMNS)
    for row in rows:
        document = _document(row, zone)
        document["details"] = row.details
        yield _csv_line(tuple(_safe(document[column]) for column in _COLUMNS))


def _document(row: CustodyEvent, zone: str) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "at": format_instant(row.at_us, zone),
        "at_us": row.at_us,
        "actor": row.actor,
        "action": row.action,
        "room": row.room,
        "date": row.date,
        "subject": row.subject,
        "details": json.loads(row.details),
        "previous_sha256": row.previous_sha256,
        "sha256": row.sha256,
    }


def _safe(value: Any) -> str:
    """A cell that a spreadsheet would run as a formula becomes text."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _csv_line(cells: tuple[str, ...]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()
