"""How footage that cannot be one clip divides into clips that can. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archive.mp4.codec import Codec, codec_of
from archive.mp4.index import SegmentIndex
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval

# Beyond it the head alone weighs 5 MB and more, and players wait for it.
MAX_CLIP_US = 3 * 3600 * US_PER_SECOND
# Stated ends are those of the longer track, rounded: less than this between two segments is no gap.
_TOUCH_US = US_PER_SECOND


@dataclass(frozen=True, slots=True)
class Coding:
    """Of the tracks that a segment has; None for one that it has not, which goes with any."""

    video: Codec | None = None
    audio: Codec | None = None

    @classmethod
    def of(cls, index: SegmentIndex) -> Coding:
        """Raises Mp4Error for a sample description that is not one of one codec."""
        video, audio = index.video, index.audio
        return cls(codec_of(video) if video else None, codec_of(audio) if audio else None)

    def joined(self, other: Coding) -> Coding | None:
        """What both are together, or None where one decoder cannot play both."""
        for mine, theirs in ((self.video, other.video), (self.audio, other.audio)):
            if mine is not None and theirs is not None and mine != theirs:
                return None
        return Coding(self.video or other.video, self.audio or other.audio)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stored segment, as much of it as the division needs."""

    start_us: int
    end_us: int
    coding: Coding


def divide(stretches: Iterable[Stretch], interval: Interval) -> tuple[Interval, ...]:
    """Clips of at most MAX_CLIP_US and of one coding each, in order, that together show what is recorded of
    the `interval`.

    They part where segments begin, on a keyframe, so that no picture falls between two of them. Those of one
    coding are about equally long. None begins or ends where nothing is recorded.
    """
    parts: list[Interval] = []
    group: list[Interval] = []
    coding = Coding()
    for each in sorted(stretches, key=lambda stretch: stretch.start_us):
        shown = Interval(each.start_us, each.end_us).intersection(interval)
        if shown is None:
            continue
        joined = coding.joined(each.coding)
        if joined is None:
            parts += _by_length(group, shown.start_us)
            group, joined = [], each.coding
        group.append(shown)
        coding = joined
    return tuple(parts + _by_length(group, interval.end_us))


def _by_length(group: list[Interval], until_us: int) -> list[Interval]:
    """`group`, of one coding and by start, before `until_us`."""
    if not group:
        return []
    whole_us = max(each.end_us for each in group) - group[0].start_us
    count = -(-whole_us // MAX_CLIP_US)
    # A part falls short of it by less than a segment.
    limit_us = min(MAX_CLIP_US, whole_us // count + max(each.duration_us for each in group))
    parts: list[Interval] = []
    start_us, end_us = group[0].start_us, group[0].end_us
    for each in group[1:]:
        if each.end_us - start_us > limit_us:
            parts.append(Interval(start_us, _end_before(end_us, each.start_us)))
            start_us, end_us = each.start_us, each.end_us
        else:
            end_us = max(end_us, each.end_us)
    return [*parts, Interval(start_us, _end_before(end_us, until_us))]


def _end_before(end_us: int, next_us: int) -> int:
    """The last picture is shown until the next segment begins, but for a gap; never beyond it."""
    return next_us if next_us - end_us < _TOUCH_US else end_us
