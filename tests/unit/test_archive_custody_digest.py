"""The walk hashes rows as they are stored; that must be what was hashed when they were written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from archive.custody import Event, _digest_as_stored, digest
from recorder.manifest import canonical

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**53) + 1, 2**53 - 1)
values = st.recursive(st.none() | st.booleans() | numbers | texts, lambda inner: st.lists(inner, max_size=3))


@dataclass
class Stored:
    action: str
    actor: str
    at_us: int
    room: str | None
    date: str | None
    subject: str | None
    details: str
    sequence: int
    previous_sha256: str


@given(
    texts, texts, numbers, st.none() | texts, st.none() | texts, st.dictionaries(texts, values, max_size=3)
)
def test_both_ways_give_the_same(
    action: str, actor: str, at_us: int, room: str | None, subject: str | None, details: dict[str, Any]
) -> None:
    event = Event(action, actor, at_us, room, None, subject, details)
    stored = Stored(action, actor, at_us, room, None, subject, canonical(details).decode(), 7, "p" * 64)
    assert _digest_as_stored(stored) == digest(7, event, "p" * 64)
