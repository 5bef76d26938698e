"""The board of rooms: looked at once for all readers, drawn once for each kind of reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from archive import jobs, marks, room_states
from archive.models import Mark
from archive.room_states import RoomState
from archive.system import Archive
from retention import frozen
from retrieval_api import agent_wording, job_wording, pages, readiness_view, room_meters, wording
from retrieval_api.i18n import Language, Localizer
from retrieval_api.requests import queue
from retrieval_api.requests.review_page import REVIEWERS
from retrieval_api.room_pictures import RoomPictures, Shown
from retrieval_api.routes.extension import CHANGE_ROLES
from retrieval_api.routes.jobs import JOB_ROLES
from retrieval_api.routes.quarantine import QUARANTINE_ROLES, new_count
from retrieval_api.routes.room_look import LOOK_ROLES
from retrieval_api.routes.rooms import FOOTAGE_ROLES


class Kind(NamedTuple):
    """All that two readers' boards may differ by. Nothing on the board is one session's own."""

    language: Language
    role: str


@dataclass(frozen=True, slots=True)
class BoardFacts:
    """Everything that any reader's board may show, at one instant."""

    now_us: int
    zone: str
    states: list[RoomState]
    readiness: readiness_view.BoardReadiness
    pictures: Mapping[str, Mapping[str, Shown]]
    alerts: list[Mark]
    overdue: int
    refused: int
    dead: Mapping[str, int]
    is_frozen: bool
    rooms_problem: str | None


def look(archive: Archive, pictures: RoomPictures, now_us: int) -> BoardFacts:
    """Reads the database once, for all readers."""
    with archive.database.reading() as session:
        states = room_states.room_states(session, archive.configurations, now_us)
        alerts = list(marks.going_on(session))
        overdue = queue.overdue_count(session, now_us)
        refused = new_count(session, now_us)
        dead = jobs.dead_letters(session)
        is_frozen = frozen.is_frozen(session)
        version, rooms = archive.configurations.current(session)
    configurations = {room.id: rooms.configuration(room.id, version) for room in rooms.rooms}
    return BoardFacts(
        now_us=now_us,
        zone=rooms.council.timezone,
        states=states,
        readiness=readiness_view.of_rooms(states, configurations, now_us),
        # A window may have closed since the agent's last word.
        pictures={each.room: pictures.of_room(each.room, now_us) for each in states if each.window},
        alerts=alerts,
        overdue=overdue,
        refused=refused,
        dead=dead,
        is_frozen=is_frozen,
        rooms_problem=archive.rooms_file_problem(now_us),
    )


def context(facts: BoardFacts, role: str, texts: Localizer) -> dict[str, Any]:
    """What the templates of the board need for a reader of this role and these texts."""
    states, readiness, now_us = facts.states, facts.readiness, facts.now_us
    faults = [state for state in states if state.state == "fault"]
    dead = facts.dead if role in JOB_ROLES else {}
    return {
        "faults": faults,
        "unready": [state for state in states if readiness.is_unready(state.room)],
        # What needs a look stands first.
        "others": sorted(
            (state for state in states if state.state != "fault" and not readiness.is_unready(state.room)),
            key=lambda state: not state.conditions,
        ),
        "warned": sum(bool(state.conditions) for state in states if state.state != "fault"),
        "readiness": readiness,
        "recording": sum(state.state == "recording" for state in states),
        "agent_word": partial(agent_wording.told, texts),
        "cause_now": wording.cause_now,
        "condition_now": wording.condition_now,
        "closing": [state for state in states if state.closes_while_in_use(now_us)],
        "rooms_problem": facts.rooms_problem,
        "overdue": facts.overdue if role in REVIEWERS else 0,
        "refused": facts.refused if role in QUARANTINE_ROLES else 0,
        "dead": sum(dead.values()),
        "dead_kinds": [job_wording.kind(each).what for each in dead],
        "is_frozen": role in JOB_ROLES and facts.is_frozen,
        "alerts": facts.alerts,
        "alarmed": any(mark.kind == "air_raid_alert" and mark.room is None for mark in facts.alerts),
        "mark_words": wording.MARKS,
        "labels": {state.room: state.label for state in states},
        "may_change": role in CHANGE_ROLES,
        "may_open": role in FOOTAGE_ROLES,
        "may_look": role in LOOK_ROLES,
        "pictures": facts.pictures,
        "meters": room_meters,
    }


def draw(archive: Archive, pictures: RoomPictures, now_us: int, kinds: Iterable[Kind]) -> dict[Kind, str]:
    """The part of the page that changes, for each kind of reader; the database is read once."""
    facts = look(archive, pictures, now_us)
    return {
        kind: pages.fragment(
            "_board.html",
            kind.language,
            facts.zone,
            now_us=now_us,
            **context(facts, kind.role, pages.localizer(kind.language, facts.zone)),
        )
        for kind in kinds
    }
