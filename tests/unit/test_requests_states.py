"""The request's state machine: no path hands a recording out too early."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_api.requests.states import Event, IllegalTransition, Outcome, State, Status, transition

_EVENTS = st.lists(st.sampled_from(Event), max_size=25)


def _walk(events: list[Event]) -> list[tuple[Event, State]]:
    """The events that were let happen, each with the state after it."""
    state, walked = State(), []
    for event in events:
        try:
            state = transition(state, event)
        except IllegalTransition:
            continue
        walked.append((event, state))
    return walked


@given(_EVENTS)
def test_nothing_is_released_without_room_interval_identity_and_decision(events: list[Event]) -> None:
    walked = _walk(events)
    for index, (event, state) in enumerate(walked):
        if not state.is_released:
            continue
        before = [earlier for earlier, _ in walked[:index]]
        assert event in {Event.APPROVED, Event.APPROVED_IN_PART}
        last_match = max(i for i, each in enumerate(before) if each is Event.MATCHED)
        assert Event.INTERVAL_SET in before[last_match:], "the interval belongs to the room matched last"
        assert Event.IDENTITY_RECORDED in before
        assert state.matched
        assert state.interval_set
        assert state.identity_recorded


@given(_EVENTS)
def test_a_closed_request_stays_closed_and_an_open_one_has_no_outcome(events: list[Event]) -> None:
    walked = _walk(events)
    statuses = [state.status for _, state in walked]
    if Status.CLOSED in statuses:
        assert statuses.index(Status.CLOSED) == len(statuses) - 1
    assert all((state.outcome is None) == state.is_open for _, state in walked)


@given(_EVENTS)
def test_only_a_decision_or_a_withdrawal_leads_to_the_end_of_a_hold(events: list[Event]) -> None:
    """`closed` is what releases holds (invariant 7)."""
    walked = _walk(events)
    for (_, before), (event, _) in itertools.pairwise(walked):
        if event is Event.CLOSED:
            assert before.status in {Status.DECIDED, Status.WITHDRAWN}


@pytest.mark.parametrize(
    ("state", "event", "reason"),
    [
        (State(), Event.APPROVED, "no_room"),
        (State(), Event.INTERVAL_SET, "no_room"),
        (State(), Event.CLOSED, "not_decided"),
        (State(matched=True), Event.APPROVED, "no_interval"),
        (State(matched=True, interval_set=True), Event.APPROVED_IN_PART, "no_identity"),
        (State(Status.DECIDED, Outcome.RELEASED), Event.WITHDRAWN, "already_decided"),
        (State(Status.DECIDED, Outcome.RELEASED), Event.REOPENED, "not_refused"),
        (State(Status.WITHDRAWN, Outcome.WITHDRAWN), Event.MATCHED, "already_decided"),
        (State(Status.CLOSED, Outcome.REFUSED), Event.REOPENED, "not_refused"),
    ],
)
def test_what_may_not_happen_says_why(state: State, event: Event, reason: str) -> None:
    with pytest.raises(IllegalTransition) as caught:
        transition(state, event)
    assert caught.value.reason == reason


def test_the_shortest_life() -> None:
    steps = [Event.MATCHED, Event.INTERVAL_SET, Event.IDENTITY_RECORDED, Event.APPROVED, Event.CLOSED]
    assert [event for event, _ in _walk(steps)] == steps


def test_another_room_takes_the_interval_back() -> None:
    state = State(Status.IN_REVIEW, matched=True, interval_set=True, identity_recorded=True)
    assert not transition(state, Event.MATCHED).interval_set
