"""A day as an HLS playlist (RFC 8216), and how the address of a part says which one it is.

`EXT-X-PROTOKOL-SPAN` is ours, and players ignore it: it tells the wall clock of a player's time to the
microsecond, and what of it was recorded, for the page's own clock and strip.
"""

from __future__ import annotations

from collections.abc import Callable

from archive.mp4.day import Day, Entry, Loan, Part, Span
from recorder.instants import US_PER_DAY, US_PER_SECOND, to_datetime

# A line holds a day, a segment two minutes: who writes an address of their own could else have silence made
# for years.
_LONGEST_LINE_US = 2 * US_PER_DAY
_FAR_US = 600 * US_PER_SECOND
_BOUNDS = ("from_us", "until_us", "sound_from_us", "sound_to_us", "picture_to_us")


def render(day: Day, address: Callable[[Part], str]) -> str:
    """The playlist of what there is now: a day that still goes on is loaded anew for more.

    A discontinuity stands where the description of the tracks changes. At a gap the times of the samples go
    on, so there is none, and the program's date says how far the wall clock has jumped.
    """
    longest = max((entry.duration_us for entry in day.entries), default=US_PER_SECOND)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        # Rounded as the RFC says: durations may not exceed it when they are rounded to the nearest second.
        f"#EXT-X-TARGETDURATION:{max(1, -(-longest // US_PER_SECOND))}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    for number, stretch in enumerate(day.stretches):
        if number:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f'#EXT-X-MAP:URI="{address(stretch.init)}"')
        for span, entries in stretch.spans:
            lines += _span_lines(span, entries)
            for entry in entries:
                lines.append(f"#EXTINF:{entry.duration_us / US_PER_SECOND:.6f},")
                lines.append(address(entry.part))
    lines.append("#EXT-X-ENDLIST\n")
    return "\n".join(lines)


def _span_lines(span: Span, entries: tuple[Entry, ...]) -> tuple[str, str]:
    moment = to_datetime((entries[0].wall_us + 500) // 1000 * 1000)
    tracks = "+".join(word for word, there in (("picture", span.pictured), ("sound", span.sounded)) if there)
    times = f"WALL-US={span.wall_us},END-US={span.end_us},PLAYER-US={span.player_us}"
    return (
        f"#EXT-X-PROGRAM-DATE-TIME:{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
        f"#EXT-X-PROTOKOL-SPAN:{times},TRACKS={tracks}",
    )


def to_query(part: Part) -> str:
    """What tells the part from others of its segment, in few characters and little time: a day has 16 000."""
    numbers = [part.from_us, part.until_us, part.sound_from_us, part.sound_to_us, part.picture_to_us]
    query = f"p={part.first}.{part.last}.{part.at_us}"
    if any(each is not None for each in numbers):
        query += "." + ".".join("" if each is None else str(each) for each in numbers).rstrip(".")
    if part.still is not None:
        query += f"&still={part.still.segment_id}.{part.still.group}"
    if part.hush is not None:
        query += f"&hush={part.hush.segment_id}"
    return query


def from_query(segment_id: str, p: str, still: str | None, hush: str | None) -> Part:
    """The inverse of `to_query`. Raises ValueError for anything else."""
    words = p.split(".")
    if not 3 <= len(words) <= 8 or len(p) > 200:
        raise ValueError("a part is three to eight numbers")
    numbers = [int(word) if word else None for word in words]
    first, last, at_us, *others = numbers
    if first is None or last is None or at_us is None:
        raise ValueError("groups and place of a part are missing")
    if abs(at_us) > _LONGEST_LINE_US:
        raise ValueError("a place beyond any day")
    if any(each is not None and abs(each) > _FAR_US for each in others):
        raise ValueError("an instant beyond any segment")
    lent = None
    if still:
        name, _, group = still.rpartition(".")
        lent = Loan(name, int(group))
    bounds = dict(zip(_BOUNDS, others, strict=False))
    return Part(segment_id, first, last, at_us, **bounds, still=lent, hush=Loan(hush) if hush else None)


def relative_address(part: Part, more: str = "") -> str:
    """Of the part, from the playlist's own address; `more` is appended to its query, encoded already."""
    return f"media/{part.segment_id}.mp4?{to_query(part)}{more}"
