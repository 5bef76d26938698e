"""A room-day as one document: all that the strip of the day draws, each interval with its word. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from archive import marks
from archive.models import Hold, Mark
from archive.mp4.parts import MAX_CLIP_US
from archive.search import Coverage, GapFact
from recorder.instants import local_midnight_us
from recorder.intervals import Interval, intersect, subtract
from retrieval_api import day_view, day_wording, wording
from retrieval_api.i18n import Localizer


def document(
    facts: Coverage,
    beside: Iterable[Mark],
    request_numbers: Mapping[int, str],
    day: date,
    now_us: int,
    texts: Localizer,
    *,
    names_sources: bool = False,
    opened: Sequence[Interval] | None = None,
) -> dict[str, Any]:
    """Lists of `{start_us, end_us, word, …}`, cut to `horizon` where they only frame what was recorded.

    `request_numbers` names the request of a hold by its `request_id`; a hold without one is staff's own.
    `names_sources`: a gap is told with its camera, because `facts` are of several.
    `opened`: all that the ground of the visit may open of the day; None where it knows no limits. What is
    recorded of it is `openable`, the rest of what is recorded `unopened`; both are empty without limits.
    """
    zone = texts.zone
    horizon = day_view.horizon(facts, day, zone)
    until_now = [Interval(0, now_us)]
    kept = [Interval(hold.start_us, hold.end_us) for hold in facts.holds]
    limited = facts.recorded if opened is not None else ()
    purged = subtract(intersect(facts.windows, until_now), kept) if facts.state == "purged" else ()

    def told(intervals: Iterable[Interval], word: str) -> list[dict[str, Any]]:
        return [_interval(each, texts.gettext(word)) for each in intervals]

    return {
        "room": facts.room,
        "date": facts.date,
        "zone": zone,
        "state": facts.state,
        "due_us": facts.due_us,
        "now_us": now_us,
        "midnight_us": local_midnight_us(day, zone),
        "next_midnight_us": local_midnight_us(day + timedelta(days=1), zone),
        "horizon": {"start_us": horizon.start_us, "end_us": horizon.end_us},
        "max_clip_us": MAX_CLIP_US,
        "outside_word": texts.gettext(day_wording.CLOSED),
        "windows": told(facts.windows, day_wording.WINDOW),
        "recorded": told(facts.recorded, day_wording.RECORDED),
        "gaps": [_gap(gap, texts.gettext, gap.source if names_sources else "") for gap in facts.gaps],
        "pending": told(facts.pending, day_wording.PENDING),
        "ahead": told(subtract(facts.windows, until_now), day_wording.AHEAD),
        "closed": told(subtract([horizon], facts.windows), day_wording.CLOSED),
        "holds": [
            _of_hold(hold, texts.gettext(day_wording.HELD, number=hold.id))
            for hold in facts.holds
            if hold.request_id is None
        ],
        "requested": [
            _of_hold(hold, texts.gettext(day_wording.REQUESTED, number=request_numbers[hold.request_id]))
            for hold in facts.holds
            if hold.request_id is not None
        ],
        "marks": [
            _interval(
                marks.interval(mark, now_us),
                texts.gettext(wording.MARKS.get(mark.kind, mark.kind)),
                note=mark.note,
            )
            for mark in beside
        ],
        "purged": told(purged, day_wording.PURGED),
        "openable": told(intersect(limited, opened or ()), day_wording.OPENED),
        "unopened": told(subtract(limited, opened or ()), day_wording.UNOPENED),
        "opened": None if opened is None else [_bounds(each) for each in opened],
    }


def _interval(interval: Interval, word: str, **more: Any) -> dict[str, Any]:
    return {**_bounds(interval), "word": word, **more}


def _bounds(interval: Interval) -> dict[str, int]:
    return {"start_us": interval.start_us, "end_us": interval.end_us}


def _of_hold(hold: Hold, word: str) -> dict[str, Any]:
    return _interval(Interval(hold.start_us, hold.end_us), word, id=hold.id)


def _gap(gap: GapFact, gettext: Callable[..., str], source: str) -> dict[str, Any]:
    word = gettext(wording.cause_past(gap.cause))
    if len(gap.tracks) == 1 and gap.tracks[0] in day_wording.ONE_TRACK:
        word = gettext(day_wording.ONE_TRACK[gap.tracks[0]], cause=word)
    if gap.provisional:
        word = gettext(day_wording.PROVISIONAL, cause=word)
    if source:
        word = f"{source}: {word}"
    return _interval(
        Interval(gap.start_us, gap.end_us),
        word,
        source=gap.source,
        tracks=list(gap.tracks),
        cause=gap.cause,
        provisional=gap.provisional,
    )
