"""What nothing signed accounts for: recorded time that is neither footage nor a gap (invariant 5).

Each recording window, as it was frozen, less segments and gap records must be empty for each source
and track, from the source's first record on. Until when: an agent settles everything on a track before
it begins a segment or writes a gap of that track, and ships in order; so what lies before the start of
the newest record that has arrived is complete, and what lies after it may still be on its way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive import room_days
from archive.configuration import Configurations, frozen_windows
from archive.models import Gap, RoomDay, Segment, SegmentManifestRow
from archive.search import MAX_GAP_US
from recorder.coverage import SOUND_JOINT_US
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


@dataclass(frozen=True, slots=True)
class _Footage:
    """A segment, and how much sound it has by its manifest."""

    interval: Interval
    has_picture: bool
    sound_us: int


def uncovered(session: Session, configurations: Configurations) -> Iterator[Uncovered]:
    """By room, source, time and track. Purged days are not looked at: their records are gone."""
    rooms = session.scalars(select(Segment.room).union(select(Gap.room)))
    for room in sorted(rooms):
        horizons = _horizons(session, room)
        if not horizons:
            continue
        zone = configurations.last_known(session, room).timezone
        present = {
            (source, track): _presence(session, configurations, room, source, track)
            for source, track in horizons
        }
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
    present: Mapping[tuple[str, Track], tuple[Interval, ...]],
) -> Iterator[Uncovered]:
    whole = Interval(windows[0].start_us, windows[-1].end_us)
    footage = _footage(session, room, whole)
    gaps = _gaps(session, room, whole)
    for (source, track), horizon in sorted(horizons.items()):
        expected = intersect(intersect(windows, present[source, track]), [horizon])
        segments = footage.get(source, [])
        told = gaps.get((source, track), [])
        shown = [each.interval for each in segments if each.has_picture or track is Track.AUDIO]
        holes: Sequence[Interval] = subtract(expected, [*shown, *told])
        if track is Track.AUDIO:
            # As for the agent's ledger, a joint of two runs, as after the clock was slewed, is no hole.
            holes = [hole for hole in holes if hole.duration_us >= SOUND_JOINT_US]
            holes = merge([*holes, *_silent(segments, merge(told), expected)])
        for hole in holes:
            yield Uncovered(room, source, track, hole)


def _silent(
    segments: Iterable[_Footage], told: tuple[Interval, ...], expected: tuple[Interval, ...]
) -> list[Interval]:
    """Segments that have less sound than they last, and no gap that says so."""
    silent: list[Interval] = []
    for footage in segments:
        interval, sound_us = footage.interval, footage.sound_us
        if sound_us + _SOUND_TOLERANCE_US >= interval.duration_us:
            continue
        missing_us = sum(gap.duration_us for gap in intersect([interval], told))
        if sound_us + missing_us + _SOUND_TOLERANCE_US < interval.duration_us:
            silent += intersect([interval], expected)
    return silent


def _horizons(session: Session, room: str) -> dict[tuple[str, Track], Interval]:
    """From the first record of each source to the newest one of each track.

    A segment without a picture settles the sound alone: the picture's gap is declared later.
    """
    first: dict[str, int] = {}
    last: dict[tuple[str, Track], int] = {}
    segments = select(Segment.source, func.min(Segment.start_us), func.max(Segment.start_us))
    gaps = select(Gap.source, func.min(Gap.start_us), func.max(Gap.start_us), Gap.tracks)
    rows: list[tuple[str, int, int, str]] = []
    for source, from_us, to_us in session.execute(
        segments.where(Segment.room == room).group_by(Segment.source)
    ):
        rows.append((source, from_us, to_us, "audio"))
        picture_us = _last_picture_us(session, room, source)
        if picture_us is not None:
            rows.append((source, from_us, picture_us, "video"))
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


def _last_picture_us(session: Session, room: str, source: str) -> int | None:
    """Start of the source's newest segment that has a picture."""
    newest_first = (
        select(Segment.start_us, SegmentManifestRow.encoded)
        .join(SegmentManifestRow, SegmentManifestRow.segment_id == Segment.id)
        .where(Segment.room == room, Segment.source == source)
        .order_by(Segment.start_us.desc())
    )
    with session.execute(newest_first.execution_options(yield_per=100)) as rows:
        for start_us, encoded in rows:
            if any(track["track"] == Track.VIDEO for track in json.loads(encoded)["tracks"]):
                return int(start_us)
    return None


def _presence(
    session: Session, configurations: Configurations, room: str, source: str, track: Track
) -> tuple[Interval, ...]:
    """When the rooms file in force named the source, and it should have had the track."""
    return merge(
        period
        for period, rooms in configurations.history(session)
        if any(
            each.id == room and source in each.sources and (each.cameras or track is Track.AUDIO)
            for each in rooms.rooms
        )
    )


def _purged(session: Session, room: str, zone: str) -> list[Interval]:
    dates = session.scalars(select(RoomDay.date).where(RoomDay.room == room, RoomDay.state == "purged"))
    days = [date.fromisoformat(each) for each in dates]
    midnights = [
        (local_midnight_us(day, zone), local_midnight_us(day + timedelta(days=1), zone)) for day in days
    ]
    return [Interval(start_us, end_us) for start_us, end_us in midnights]


def _footage(session: Session, room: str, whole: Interval) -> dict[str, list[_Footage]]:
    """By source."""
    found: dict[str, list[_Footage]] = {}
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
        length_us = {
            track["track"]: track["duration_ticks"] * US_PER_SECOND // track["timescale"]
            for track in json.loads(encoded)["tracks"]
        }
        footage = _Footage(
            Interval(start_us, end_us), Track.VIDEO in length_us, length_us.get(Track.AUDIO, 0)
        )
        found.setdefault(source, []).append(footage)
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
