"""The life of a request, as a pure state machine: what may happen next, and why something may not.

    registered ──▶ in_review ──▶ decided ──▶ closed
         │             │  ▲          │
         │             │  └──────────┘ reopened (an appeal, only after a refusal)
         └─────────────┴──▶ withdrawn ──▶ closed

A recording is handed out in one state alone: `decided` with the outcome `released` or `partial`. No
path leads there without a matched room, an interval, a basis of identity and a decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from recorder.errors import ProtokolError


class IllegalTransition(ProtokolError):  # noqa: N818 (the name says what happened, in the domain's words)
    """An event that a request in this state cannot undergo. `reason` is a stable code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Status(StrEnum):
    REGISTERED = "registered"
    IN_REVIEW = "in_review"
    DECIDED = "decided"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


class Outcome(StrEnum):
    RELEASED = "released"
    PARTIAL = "partial"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    WITHDRAWN = "withdrawn"


class Event(StrEnum):
    """What may happen to a request. `matched` names the room, `closed` ends the last hold."""

    MATCHED = "matched"
    INTERVAL_SET = "interval_set"
    IDENTITY_RECORDED = "identity_recorded"
    APPROVED = "approved"
    APPROVED_IN_PART = "approved_in_part"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    WITHDRAWN = "withdrawn"
    REOPENED = "reopened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class State:
    status: Status = Status.REGISTERED
    outcome: Outcome | None = None
    matched: bool = False
    interval_set: bool = False
    identity_recorded: bool = False

    @property
    def is_open(self) -> bool:
        """Somebody still has to decide."""
        return self.status in {Status.REGISTERED, Status.IN_REVIEW}

    @property
    def is_released(self) -> bool:
        """The one state in which the resident may receive footage."""
        return self.status is Status.DECIDED and self.outcome in {Outcome.RELEASED, Outcome.PARTIAL}

    @property
    def is_refused(self) -> bool:
        return self.status is Status.DECIDED and self.outcome in {Outcome.REFUSED, Outcome.NOT_FOUND}


# What each event changes, once `_require` has let it happen.
_CHANGES: Mapping[Event, Mapping[str, Any]] = {
    # The interval belonged to the room matched before.
    Event.MATCHED: {"status": Status.IN_REVIEW, "matched": True, "interval_set": False},
    Event.INTERVAL_SET: {"interval_set": True},
    Event.IDENTITY_RECORDED: {"status": Status.IN_REVIEW, "identity_recorded": True},
    Event.APPROVED: {"status": Status.DECIDED, "outcome": Outcome.RELEASED},
    Event.APPROVED_IN_PART: {"status": Status.DECIDED, "outcome": Outcome.PARTIAL},
    Event.REFUSED: {"status": Status.DECIDED, "outcome": Outcome.REFUSED},
    Event.NOT_FOUND: {"status": Status.DECIDED, "outcome": Outcome.NOT_FOUND},
    Event.WITHDRAWN: {"status": Status.WITHDRAWN, "outcome": Outcome.WITHDRAWN},
    Event.REOPENED: {"status": Status.IN_REVIEW, "outcome": None},
    Event.CLOSED: {"status": Status.CLOSED},
}


def transition(state: State, event: Event) -> State:
    """The state after `event`; raises IllegalTransition, which says why not."""
    _require(state, event)
    return replace(state, **_CHANGES[event])


def _require(state: State, event: Event) -> None:
    if event is Event.REOPENED:
        if not state.is_refused:
            raise IllegalTransition("not_refused", "only a refused request can be reopened")
    elif event is Event.CLOSED:
        if state.status not in {Status.DECIDED, Status.WITHDRAWN}:
            raise IllegalTransition("not_decided", "a request is closed after its decision or withdrawal")
    elif not state.is_open:
        raise IllegalTransition("already_decided", f"the request is {state.status.value} already")
    elif event is Event.INTERVAL_SET and not state.matched:
        raise IllegalTransition("no_room", "choose the room before the interval")
    elif event in {Event.APPROVED, Event.APPROVED_IN_PART}:
        _require_complete(state)


def _require_complete(state: State) -> None:
    if not state.matched:
        raise IllegalTransition("no_room", "choose the room before the decision")
    if not state.interval_set:
        raise IllegalTransition("no_interval", "set the beginning and the end before the decision")
    if not state.identity_recorded:
        raise IllegalTransition("no_identity", "record how identity and presence were established first")
