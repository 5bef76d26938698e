"""Rooms and archive in figures, for whoever watches machines: Prometheus text, no personal data.

Read from the database at each scrape, so that any server process answers the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import jobs, room_states
from archive.models import Garbage, Hold, Quarantine, RoomDay
from archive.room_states import RoomState
from recorder.instants import US_PER_SECOND
from retrieval_api.pages import ArchiveDep, NowDep
from retrieval_api.problems import Problem

router = APIRouter(tags=["health"])

_STATES = ("recording", "closed", "fault")


def may_scrape(
    request: Request,
    archive: ArchiveDep,
    authorization: Annotated[str, Header()] = "",
) -> None:
    """With a token: who bears it. Without one: whoever asks from this host and through no proxy."""
    token = archive.settings.metrics_token
    if token is not None:
        expected = f"Bearer {token.get_secret_value()}"
        if not secrets.compare_digest(authorization.encode(), expected.encode()):
            raise Problem(401, "metrics_token", "send PROTOKOL_METRICS_TOKEN as: Authorization: Bearer TOKEN")
        return
    asker = request.client.host if request.client else ""
    through_proxy = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    if through_proxy or not _is_loopback(asker):
        raise Problem(403, "metrics_local", "without PROTOKOL_METRICS_TOKEN metrics are for this host alone")


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


@router.get("/metrics", dependencies=[Depends(may_scrape)])
def metrics(archive: ArchiveDep, now_us: NowDep) -> Response:
    """Figures in the Prometheus text format."""
    with archive.database.reading() as session:
        states = room_states.room_states(session, archive.configurations, now_us)
        families = [*_room_families(states, now_us), *_archive_families(session)]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Collected:
    """A collector of what was read already."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"protokol_{name}", text, labels=labels)


def _room_families(states: Iterable[RoomState], now_us: int) -> Iterator[GaugeMetricFamily]:
    up = _gauge("room_up", "1 while the room's agent is heard of.", "room")
    state = _gauge("room_state", "1 for the state that the room is in.", "room", "state")
    condition = _gauge(
        "room_condition", "1 for each thing that is wrong with the room.", "room", "source", "condition"
    )
    age = _gauge("room_heartbeat_age_seconds", "Time since the last heartbeat.", "room")
    since = _gauge("room_recording_since_seconds", "Unix time at which the recording began.", "room")
    told = {
        name: _gauge(f"room_{name}", text, "room")
        for name, text in (
            ("spool_entries", "Finished segments and gap records that wait on the room host."),
            ("spool_bytes", "Their size."),
            ("spool_oldest_age_seconds", "Age of the oldest of them."),
            ("clock_uncertainty_seconds", "How far the room host's clock may be off."),
            ("disk_free_bytes", "What is free on the room host's disk."),
            ("temperature_celsius", "The room host's hottest sensor."),
            ("health_process_bytes", "Memory of the process that looks at the pictures."),
        )
    }
    for room in states:
        silent = room.last_seen_us is None or now_us - room.last_seen_us > room_states.SILENT_AFTER_US
        up.add_metric([room.room], 0 if silent else 1)
        for each in _STATES:
            state.add_metric([room.room, each], 1 if room.state == each else 0)
        for wrong in room.conditions:
            condition.add_metric([room.room, wrong.source, wrong.condition], 1)
        if room.last_seen_us is not None:
            age.add_metric([room.room], (now_us - room.last_seen_us) / US_PER_SECOND)
        if room.state == "recording" and room.since_us:
            since.add_metric([room.room], room.since_us / US_PER_SECOND)
        for name, value in _told(room.heartbeat, now_us).items():
            if value is not None and not silent:
                told[name].add_metric([room.room], value)
    yield from (up, state, condition, age, since, *told.values())


def _told(heartbeat: dict[str, Any], now_us: int) -> dict[str, float | None]:
    """What an agent tells beside what the board needs; None for what is absent or no figure."""

    def member(*path: str) -> float | None:
        found: Any = heartbeat
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        is_figure = isinstance(found, int | float) and abs(found) < 2**63
        return float(found) if is_figure else None

    entries, oldest_us = member("spool", "segments"), member("spool", "oldest_us")
    uncertainty_us = member("clock", "uncertainty_us")
    nothing_waits = None if entries is None else 0.0
    return {
        "spool_entries": entries,
        "spool_bytes": member("spool", "bytes"),
        "spool_oldest_age_seconds": nothing_waits
        if oldest_us is None
        else (now_us - oldest_us) / US_PER_SECOND,
        "clock_uncertainty_seconds": None if uncertainty_us is None else uncertainty_us / US_PER_SECOND,
        "disk_free_bytes": member("health", "host", "disk_free_bytes"),
        "temperature_celsius": member("health", "host", "temperature_c"),
        "health_process_bytes": member("health", "process_rss_bytes"),
    }


def _archive_families(session: Session) -> Iterator[GaugeMetricFamily]:
    """Counts of small tables only: segments are millions."""
    days = _gauge("archive_room_days", "Days of rooms, by state.", "state")
    for state, count in session.execute(select(RoomDay.state, func.count()).group_by(RoomDay.state)):
        days.add_metric([state], count)
    yield days
    work = _gauge("jobs", "Jobs of the last month, by state; a failed one is a dead letter.", "state")
    for each, count in jobs.counts(session).items():
        work.add_metric([each], count)
    yield work
    holds = select(func.count()).select_from(Hold).where(Hold.released_us.is_(None))
    for name, text, statement in (
        ("archive_holds", "Holds that are in force.", holds),
        ("archive_quarantined", "Refused segments kept apart.", select(func.count()).select_from(Quarantine)),
        ("archive_garbage", "Objects about to be destroyed.", select(func.count()).select_from(Garbage)),
    ):
        family = _gauge(name, text)
        family.add_metric([], session.scalar(statement) or 0)
        yield family
