"""A room's day as one line that a player can run along: what is recorded, closed up, cut into parts.

Pure: no file, no clock. Gaps take no time on the player's line, so the wall clock jumps there; `Span` tells
both. Each part is a fragment of its own (`part.py` writes it) whose times are those of the player's line, so
that nothing has to be guessed by the player, and no seam makes sound and picture drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from archive.mp4.codec import Codec, aac_lc
from archive.mp4.groups import NONE_US, Groups
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval

# Long enough that nine hours are a playlist of 100 KB, short enough that a seek loads little.
PART_US = 2 * US_PER_SECOND
# Each part of sound alone bears the frozen picture again.
_STILL_PART_US = 10 * US_PER_SECOND
# As for clips: a run whose media time and wall clock part by more than this is not one line, and segments
# whose decoding times touch within the other are one stream for the decoder.
_MAX_DRIFT_US = 1 * US_PER_SECOND
_TOUCH_US = US_PER_SECOND // 2
# Less than this of a group is not worth a part: it may hold no whole picture.
_SCRAP_US = 100_000
# Rounding of times to ticks, never a loss.
_WANDER_US = 1_000
# The first sample lies this much after the line's beginning. A player that began elsewhere places it by times
# that are rounded to ticks: before its zero it would be dropped, and all pictures up to the next keyframe.
_LEAD_US = 1_000
_NEVER_US = 2**62


@dataclass(frozen=True, eq=False)
class DaySegment:
    """A stored segment as the day sees it."""

    id: str
    run: str
    start_us: int
    groups: Groups


@dataclass(frozen=True, slots=True)
class Loan:
    """What a segment without pictures, or without sound, borrows: the keyframe of a group, the form of it."""

    segment_id: str
    group: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Groups `[first, last)` of a segment, on the player's line. Times are µs from the segment's `start_us`,
    but `at_us`, which is where that instant lies on the line.

    Samples before `from_us` and such that do not end by `until_us` are left out. Silence is made from
    `sound_from_us` to the first packet and from the last one to `sound_to_us`; the last picture stays until
    `picture_to_us`. `still`: the picture of a part without any, from its first sound on; `hush`: whose sound
    lends its form to a part without any.
    """

    segment_id: str
    first: int
    last: int
    at_us: int
    from_us: int | None = None
    until_us: int | None = None
    sound_from_us: int | None = None
    sound_to_us: int | None = None
    picture_to_us: int | None = None
    still: Loan | None = None
    hush: Loan | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A part in the playlist: where it begins on the line, by its earliest decoding time, how long until the
    next one does, and the instant of its beginning.
    """

    part: Part
    begin_us: int
    duration_us: int
    wall_us: int


@dataclass(frozen=True, slots=True)
class Span:
    """From `player_us` on, and until the next span, the line shows the instants from `wall_us` to `end_us`,
    at rate 1. `pictured`, `sounded`: what was recorded, as against frozen or silent.
    """

    wall_us: int
    end_us: int
    player_us: int
    pictured: bool
    sounded: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """What follows under one description of the tracks, and without a break of more than a gap."""

    init: Part
    spans: tuple[tuple[Span, tuple[Entry, ...]], ...]


@dataclass(frozen=True, slots=True)
class Day:
    """The whole line. `coding` of the pictures: `h264`, `h265`, both joined by a comma, or empty."""

    stretches: tuple[Stretch, ...]
    coding: str

    @property
    def entries(self) -> list[Entry]:
        return [entry for each in self.stretches for _, entries in each.spans for entry in entries]

    @property
    def spans(self) -> list[Span]:
        return [span for each in self.stretches for span, _ in each.spans]


_Form = tuple[Codec | None, Codec | None]


@dataclass(slots=True)
class _Use:
    """Groups `[first, last)` of a segment that are shown, and what they borrow."""

    segment: DaySegment
    first: int
    last: int
    from_us: int | None
    until_us: int | None
    video: Codec | None = None
    audio: Codec | None = None
    still: Loan | None = None
    hush: Loan | None = None
    joined: bool = False

    @property
    def end_us(self) -> int:
        """Where what it shows ends, from the segment's start."""
        end_us = int(self.segment.groups.until[self.first : self.last].max())
        return end_us if self.until_us is None else min(end_us, self.until_us)


def lay_out(segments: Sequence[DaySegment], limits: Sequence[Interval] | None = None) -> Day:
    """The line of the segments (any order), each instant once: where runs overlap, the later one takes over.

    `limits`: nothing outside these instants is shown, from the first keyframe inside on.
    """
    ordered = sorted(segments, key=lambda each: (each.start_us, each.id))
    uses = [use for number in range(len(ordered)) for use in _uses(ordered, number, limits)]
    _lend(uses)
    for before, use in pairwise(uses):
        use.joined = _joins(before, use)
    line = _Line()
    for number, use in enumerate(uses):
        line.add(use, joined_by=uses[number + 1] if number + 1 < len(uses) else None)
    codings = dict.fromkeys(use.segment.groups.coding for use in uses)
    return Day(line.finish(), ",".join(each for each in codings if each))


def _uses(ordered: Sequence[DaySegment], number: int, limits: Sequence[Interval] | None) -> list[_Use]:
    segment = ordered[number]
    groups, start_us = segment.groups, segment.start_us
    later = (other.start_us for other in ordered[number + 1 :] if other.run != segment.run)
    cut_us = next(later, _NEVER_US) - start_us
    allowed = [(-_NEVER_US, _NEVER_US)]
    if limits is not None:
        allowed = [(each.start_us - start_us, each.end_us - start_us) for each in limits]
    uses = []
    for low, high in allowed:
        end = min(high, cut_us)
        first = int(np.searchsorted(groups.shown, low))
        last = int(np.searchsorted(groups.shown, end - _SCRAP_US))
        if first >= last:
            continue
        cut = int(groups.until[last - 1]) > end
        from_us = int(groups.shown[first]) if first or low > -_NEVER_US else None
        uses.append(_Use(segment, first, last, from_us, end if cut else None))
    return uses


def _lend(uses: Sequence[_Use]) -> None:
    """A player's tracks are the same all day: a missing picture freezes, missing sound is silence."""
    for kind in ("video", "audio"):
        # Backwards first, so that what comes before the first picture has one to borrow.
        for backwards in (True, False):
            lender: _Use | None = None
            for use in reversed(uses) if backwards else uses:
                own = getattr(use.segment.groups, kind)
                if own is not None:
                    lender = use
                    setattr(use, kind, own)
                elif lender is not None:
                    lent: Codec = getattr(lender.segment.groups, kind)
                    if kind == "video":
                        nearest = lender.first if backwards else lender.last - 1
                        use.video, use.still = lent, Loan(lender.segment.id, nearest)
                    elif aac_lc(lent) is not None:
                        use.audio, use.hush = lent, Loan(lender.segment.id)


def _joins(before: _Use, use: _Use) -> bool:
    """Whether `use` goes on where `before` ended, for the decoder and on the wall clock."""
    one, two = before.segment, use.segment
    if (one.run, before.video, before.audio) != (two.run, use.video, use.audio) or bool(before.still) != bool(
        use.still
    ):
        return False
    if one is two or before.last < len(one.groups) or before.until_us is not None or use.first:
        return False
    media_us = two.groups.anchor_us - one.groups.anchor_us
    if abs(media_us - (two.start_us - one.start_us)) > _MAX_DRIFT_US:
        return False
    return abs(media_us + int(two.groups.shown[0]) - int(one.groups.until.max())) <= _TOUCH_US


class _Line:
    """The player's line while it grows."""

    def __init__(self) -> None:
        self._stretches: list[tuple[_Form, Part, list[tuple[Span, int, int]]]] = []
        self._parts: list[Part] = []
        self._begins: list[tuple[int, int]] = []  # on the line; the same instant
        # Where the line ends, and where its sound does.
        self._end_us = 0
        self._sound_us = 0
        self._before: tuple[DaySegment, int] | None = None  # the last segment and its `at_us`

    def add(self, use: _Use, joined_by: _Use | None) -> None:
        groups, start_us = use.segment.groups, use.segment.start_us
        packet_us = groups.packet_us or _packet_us(use.audio)
        heard, sounded = _bounded_sound(use, groups, packet_us)
        if use.joined and self._before is not None:
            segment, at_us = self._before
            at_us += groups.anchor_us - segment.groups.anchor_us
            from_us = None
        else:
            from_us, at_us = self._open(use, groups, heard, packet_us)
        is_open = joined_by is not None and joined_by.joined
        end_us = use.end_us
        if is_open and joined_by is not None:
            after = joined_by.segment.groups
            end_us = after.anchor_us - groups.anchor_us + int(after.shown[0])
        bounds = groups.steps(use.first, use.last, _STILL_PART_US if use.still else PART_US)
        spans_from = len(self._parts)
        for first, last in pairwise(bounds):
            opening = first == use.first and not use.joined
            until_us = int(groups.shown[last]) if last < use.last else end_us
            part = Part(
                use.segment.id,
                first,
                last,
                at_us,
                from_us if opening else None,
                use.until_us if last == use.last else None,
                still=use.still,
                hush=use.hush,
            )
            begin = _begin_us(groups, first, heard)
            if use.audio is not None:
                part = self._fill(part, heard[first:last], sounded[first:last], until_us, packet_us)
                if part.sound_from_us is not None:
                    begin = min(begin, part.sound_from_us)
            if use.still:
                part = replace(part, picture_to_us=until_us)
            self._parts.append(part)
            self._begins.append((begin + at_us, begin + start_us))
        if not is_open:
            self._close(use, at_us, packet_us)
        self._tell(use, at_us, spans_from)
        self._before = (use.segment, at_us)

    def _open(self, use: _Use, groups: Groups, heard: list[int], packet_us: float) -> tuple[int, int]:
        """What of the groups is left out at the front, and where the segment lies. The sound goes on exactly
        where it ended; the picture begins up to a packet earlier, over the frozen end of the one before.
        """
        from_us = int(groups.shown[use.first]) if use.from_us is None else use.from_us
        if not self._parts:
            begin_us = _begin_us(groups, use.first, heard)
            self._sound_us = _LEAD_US + from_us - begin_us
            return from_us, _LEAD_US - begin_us
        # A player that begins anew there would undo it.
        anew = (use.video, use.audio) != self._stretches[-1][0]
        early_us = 0.0
        sound_us = next((each for each in heard[use.first : use.last] if each != NONE_US), NONE_US)
        if use.audio is not None and packet_us and sound_us != NONE_US and not anew:
            early_us = (sound_us - from_us) % packet_us
        at_us = round(self._end_us - early_us) - from_us
        self._sound_us = self._end_us
        return from_us, at_us

    def _fill(self, part: Part, heard: list[int], sounded: list[int], end_us: int, packet_us: float) -> Part:
        """The silence that a part needs, so that its sound goes on without a hole of a packet."""
        there = [number for number, each in enumerate(heard) if each != NONE_US]
        at_us = self._sound_us - part.at_us
        if not there:
            count = max(0, int((end_us - at_us) // packet_us))
            to_us = round(at_us + count * packet_us)
            self._sound_us = to_us + part.at_us
            return replace(part, sound_from_us=at_us, sound_to_us=to_us)
        first_us, last_us = heard[there[0]], sounded[there[-1]]
        if first_us - at_us >= packet_us / 2:
            part = replace(part, sound_from_us=at_us)
        if end_us - last_us >= packet_us:
            last_us = round(last_us + (end_us - last_us) // packet_us * packet_us)
            part = replace(part, sound_to_us=last_us)
        self._sound_us = last_us + part.at_us
        return part

    def _close(self, use: _Use, at_us: int, packet_us: float) -> None:
        """Sound and picture of the last part end together, after a whole packet."""
        part = self._parts[-1]
        end_us = use.end_us
        if use.audio is not None:
            sound_us = self._sound_us - at_us
            missing_us = end_us - sound_us - _WANDER_US
            if missing_us > 0:
                end_us = round(sound_us - (-missing_us // packet_us) * packet_us)
                part = replace(part, sound_to_us=end_us)
            else:
                end_us = sound_us
        if use.video is not None:
            part = replace(part, picture_to_us=end_us)
        self._parts[-1] = part
        self._end_us = self._sound_us = end_us + at_us

    def _tell(self, use: _Use, at_us: int, first_part: int) -> None:
        groups, start_us = use.segment.groups, use.segment.start_us
        shown_us = int(groups.shown[use.first])
        span = Span(
            shown_us + start_us,
            use.end_us + start_us,
            shown_us + at_us,
            groups.video is not None,
            groups.audio is not None,
        )
        form = (use.video, use.audio)
        if not self._stretches or self._stretches[-1][0] != form:
            init = Part(use.segment.id, 0, 0, 0, still=use.still, hush=use.hush)
            self._stretches.append((form, init, []))
        self._stretches[-1][2].append((span, first_part, len(self._parts)))

    def finish(self) -> tuple[Stretch, ...]:
        begins = [begin for begin, _ in self._begins] + [self._end_us]
        begins[:1] = [0]
        entries = [
            # Only damaged times run backwards; a playlist cannot.
            Entry(part, begin, max(begins[number + 1] - begin, 1_000), wall)
            for number, (part, begin, (_, wall)) in enumerate(
                zip(self._parts, begins[:-1], self._begins, strict=True)
            )
        ]
        return tuple(
            Stretch(init, tuple((span, tuple(entries[first:last])) for span, first, last in spans))
            for _, init, spans in self._stretches
        )


def _begin_us(groups: Groups, number: int, heard: list[int]) -> int:
    """The earliest decoding time of a group's samples, given where its sound begins."""
    there = [each for each in (int(groups.decoded[number]), heard[number]) if each != NONE_US]
    return min(there, default=int(groups.shown[number]))


def _packet_us(codec: Codec | None) -> float:
    known = aac_lc(codec) if codec is not None else None
    return known.frame_samples * US_PER_SECOND / known.sample_rate if known else 0.0


def _bounded_sound(use: _Use, groups: Groups, packet_us: float) -> tuple[list[int], list[int]]:
    """Where the sound of each group begins and ends, less what the use leaves out at either end."""
    heard, sounded = groups.heard.tolist(), groups.sounded.tolist()
    if use.audio is None or not packet_us:
        return heard, sounded
    from_us = int(groups.shown[use.first]) if use.from_us is None and not use.joined else use.from_us
    first = use.first
    if from_us is not None and heard[first] != NONE_US and heard[first] < from_us:
        heard[first] = round(heard[first] - (heard[first] - from_us) // packet_us * packet_us)
        if heard[first] >= sounded[first]:
            heard[first] = sounded[first] = NONE_US
    last = use.last - 1
    if use.until_us is not None and sounded[last] != NONE_US and sounded[last] > use.until_us:
        sounded[last] = round(sounded[last] + (use.until_us - sounded[last]) // packet_us * packet_us)
        if heard[last] >= sounded[last]:
            heard[last] = sounded[last] = NONE_US
    return heard, sounded
