"""What nothing signed accounts for: recorded time that is neither footage nor a gap (invariant 5).

Each recording window, as it was frozen, less segments and gap records must be empty for each source
and track, from the source's first record on. Until when: an agent settles everything on a track before
it begins a segment or writes a gap of that track, and ships in order; so what lies before the start of
the newest record that has arrived is complete, and what lies after it may still be on its way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import room_days
from archive.configuration import Configurations, frozen_windows
from archive.models import Gap, RoomDay, Segment, SegmentManifestRow
from archive.search import MAX_GAP_US
from recorder.instants import US_PER_SECOND, local_date, local_midnight_us
from recorder.intervals import Interval, intersect, merge, subtract
from recorder.manifest import MAX_SEGMENT_US, Track

# Sound is counted within a segment, where joints of up to 100 ms are no holes (recorder.coverage) and
# a minute may have several.
_SOUND_TOLERANCE_US = US_PER_SECOND // 2
_EVER = 2**53


@dataclass(frozen=True, slots=True)
class Uncovered:
    room: str
    source: str
    track: Track
    interval: Interval


def uncovered(session: Session, configurations: Configurations) -> Iterator[Uncovered]:
    """By room, source, time and track. Purged days are not looked at: their records are gone."""
    rooms = session.scalars(select(Segment.room).union(select(Gap.room)))
    for room in sorted(rooms):
        horizons = _horizons(session, room)
        if not horizons:
            continue
        zone = configurations.last_known(session, room).timezone
        sources = {source for source, _ in horizons}
        present = {source: _presence(session, configurations, room, source) for source in sources}
        first_us = min(interval.start_us for interval in horizons.values())
        last_us = max(interval.end_us for interval in horizons.values())
        purged = _purged(session, room, zone)
        day = local_date(first_us, zone) - timedelta(days=1)
        while day <= local_date(last_us, zone):
            frozen = frozen_windows(room_days.peek(session, configurations, room, day.isoformat()))
            windows = subtract(merge(frozen), purged)
            if windows:
                yield from _of_day(session, room, windows, horizons, present)
            day += timedelta(days=1)


def _of_day(
    session: Session,
    room: str,
    windows: tuple[Interval, ...],
    horizons: Mapping[tuple[str, Track], Interval],
    present: Mapping[str, tuple[Interval, ...]],
) -> Iterator[Uncovered]:
    whole = Interval(windows[0].start_us, windows[-1].end_us)
    footage = _footage(session, room, whole)
    gaps = _gaps(session, room, whole)
    for (source, track), horizon in sorted(horizons.items()):
        expected = intersect(intersect(windows, present[source]), [horizon])
        segments = footage.get(source, [])
        told = gaps.get((source, track), [])
        holes = subtract(expected, [*(interval for interval, _ in segments), *told])
        if track is Track.AUDIO:
            holes = merge([*holes, *_silent(segments, merge(told), expected)])
        for hole in holes:
            yield Uncovered(room, source, track, hole)


def _silent(
    segments: Iterable[tuple[Interval, int]], told: tuple[Interval, ...], expected: tuple[Interval, ...]
) -> list[Interval]:
    """Segments that have less sound than they last, and no gap that says so."""
    silent: list[Interval] = []
    for interval, sound_us in segments:
        if sound_us + _SOUND_TOLERANCE_US >= interval.duration_us:
            continue
        missing_us = sum(gap.duration_us for gap in intersect([interval], told))
        if sound_us + missing_us + _SOUND_TOLERANCE_US < interval.duration_us:
            silent += intersect([interval], expected)
    return silent


def _horizons(session: Session, room: str) -> dict[tuple[str, Track], Interval]:
    """From the first record of each source to the newest one of each track."""
    first: dict[str, int] = {}
    last: dict[tuple[str, Track], int] = {}
    segments = select(Segment.source, func.min(Segment.start_us), func.max(Segment.start_us))
    gaps = select(Gap.source, func.min(Gap.start_us), func.max(Gap.start_us), Gap.tracks)
    rows = [
        (*row, "video,audio")
        for row in session.execute(segments.where(Segment.room == room).group_by(Segment.source))
    ]
    rows += session.execute(gaps.where(Gap.room == room).group_by(Gap.source, Gap.tracks))
    for source, from_us, to_us, tracks in rows:
        first[source] = min(first.get(source, _EVER), from_us)
        for track in map(Track, tracks.split(",")):
            last[source, track] = max(last.get((source, track), 0), to_us)
    return {
        (source, track): Interval(first[source], until_us)
        for (source, track), until_us in last.items()
        if first[source] < until_us
    }


def _presence(
    session: Session, configurations: Configurations, room: str, source: str
) -> tuple[Interval, ...]:
    """When the rooms file in force named the source."""
    return merge(
        period
        for period, rooms in configurations.history(session)
        if any(each.id == room and source in {c.name for c in each.cameras} for each in rooms.rooms)
    )


def _purged(session: Session, room: str, zone: str) -> list[Interval]:
    dates = session.scalars(select(RoomDay.date).where(RoomDay.room == room, RoomDay.state == "purged"))
    days = [date.fromisoformat(each) for each in dates]
    midnights = [
        (local_midnight_us(day, zone), local_midnight_us(day + timedelta(days=1), zone)) for day in days
    ]
    return [Interval(start_us, end_us) for start_us, end_us in midnights]


def _footage(session: Session, room: str, whole: Interval) -> dict[str, list[tuple[Interval, int]]]:
    """By source: each segment, and how much sound it has by its manifest."""
    found: dict[str, list[tuple[Interval, int]]] = {}
    rows = session.execute(
        select(Segment.source, Segment.start_us, Segment.end_us, SegmentManifestRow.encoded)
        .join(SegmentManifestRow, SegmentManifestRow.segment_id == Segment.id)
        .where(
            Segment.room == room,
            Segment.start_us >= whole.start_us - MAX_SEGMENT_US,
            Segment.start_us < whole.end_us,
        )
    )
    for source, start_us, end_us, encoded in rows:
        sound_us = sum(
            track["duration_ticks"] * US_PER_SECOND // track["timescale"]
            for track in json.loads(encoded)["tracks"]
            if track["track"] == Track.AUDIO
        )
        found.setdefault(source, []).append((Interval(start_us, end_us), sound_us))
    return found


def _gaps(session: Session, room: str, whole: Interval) -> dict[tuple[str, Track], list[Interval]]:
    found: dict[tuple[str, Track], list[Interval]] = {}
    rows = session.execute(
        select(Gap.source, Gap.start_us, Gap.end_us, Gap.tracks).where(
            Gap.room == room,
            Gap.start_us >= whole.start_us - MAX_GAP_US,
            Gap.start_us < whole.end_us,
            Gap.end_us > whole.start_us,
        )
    )
    for source, start_us, end_us, tracks in rows:
        for track in map(Track, tracks.split(",")):
            found.setdefault((source, track), []).append(Interval(start_us, end_us))
    return found
