"""Where a decoder can begin inside a stored segment: groups of pictures, and the sound of their time.

A day is played in parts, each of one or more groups. All that its playlist needs to know of a segment is
here, in a small part of the index's bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from archive.mp4.boxes import Mp4Error
from archive.mp4.codec import Codec, codec_of, coding_of
from archive.mp4.index import Ints, SegmentIndex, TrackIndex
from recorder.instants import US_PER_SECOND

# Stands in a column where a group has no sample of that kind.
NONE_US = -(2**62)
# Sound alone can begin anywhere; a group of it lasts this long.
_SOUND_GROUP_US = 1 * US_PER_SECOND
# As in selection: a segment is at most 120 s, and samples further from its start are damage.
_MAX_REACH_US = 300 * US_PER_SECOND
# Keyframes come a fraction of a tick early or late; a part may be shorter than wished by so much.
_EARLY_US = 8_000


# The columns of Groups, and by how many elements each is longer than there are groups.
COLUMNS = {"picture": 1, "sound": 1, "decoded": 0, "key": 0, "pictured": 0, "heard": 0, "sounded": 0}


@dataclass(frozen=True, eq=False)
class Groups:
    """Of one segment. Times are µs from the instant of its first picture (its first sound where it has no
    picture): the segment's `start_us`. Columns have one element a group, but the bounds, which have one more:
    group n holds the pictures `[picture[n], picture[n + 1])` and the packets `[sound[n], sound[n + 1])`, by
    their numbers in the stored tracks. Each group begins with a keyframe, unless there is no picture at all.

    `decoded`: the earliest decoding time of its pictures. `key`: when the first picture is shown.
    `pictured`, `sounded`: where its pictures and its sound end. `heard`: where its sound begins.
    `packet_us`: how long a packet of sound lasts; 0 without sound. `anchor_us`: the media time, on the run's
    timeline, from which all of them count.
    """

    picture: Ints
    sound: Ints
    decoded: Ints
    key: Ints
    pictured: Ints
    heard: Ints
    sounded: Ints
    anchor_us: int
    packet_us: float
    video: Codec | None
    audio: Codec | None
    coding: str

    def __len__(self) -> int:
        return len(self.key)

    @cached_property
    def shown(self) -> Ints:
        """Where each group begins to be seen, or heard where there is no picture."""
        return np.where(self.key == NONE_US, self.heard, self.key)

    @cached_property
    def until(self) -> Ints:
        """Where each group has been seen and heard."""
        return np.maximum(self.pictured, self.sounded)

    def steps(self, first: int, last: int, length_us: int) -> list[int]:
        """Bounds that divide `[first, last)` into parts of at least `length_us`, but for the last one."""
        bounds = [first]
        while bounds[-1] < last:
            wanted = self._rising[bounds[-1]] + length_us - _EARLY_US
            bounds.append(max(bounds[-1] + 1, bisect_left(self._rising, wanted, bounds[-1], last)))
        return bounds

    @cached_property
    def _rising(self) -> list[int]:
        return cast("list[int]", np.maximum.accumulate(self.shown).tolist())


def groups_of(index: SegmentIndex) -> Groups:
    """Raises Mp4Error for an index without samples, or with samples far outside its segment."""
    video, audio = index.video, index.audio
    leading = video or audio
    if leading is None:
        raise Mp4Error("an index without samples")
    clock = MediaClock(leading)
    picture, sound = _bounds(video, audio, clock)
    none = np.full(len(picture) - 1, NONE_US)
    key = pictured = heard = sounded = decoded = none
    packet_us = 0.0
    if video is not None:
        shown = clock.us(video, video.pts)
        decoded = _each(np.minimum, clock.us(video, video.dts + delay_of(video)), picture)
        key = shown[picture[:-1]]
        pictured = _each(np.maximum, shown + clock.length_us(video), picture)
    if audio is not None:
        at, length = clock.us(audio, audio.pts), clock.length_us(audio)
        heard = _each(np.minimum, at, sound)
        sounded = _each(np.maximum, at + length, sound)
        packet_us = float(np.median(length))
    return Groups(
        picture,
        sound,
        decoded,
        key,
        pictured,
        heard,
        sounded,
        int(leading.pts[0]) * US_PER_SECOND // leading.timescale,
        packet_us,
        codec_of(video) if video is not None else None,
        codec_of(audio) if audio is not None else None,
        coding_of(video) if video is not None else "",
    )


def delay_of(track: TrackIndex) -> int:
    """Ticks from the decoding of a keyframe to its being shown. A day's pictures are decoded so much later:
    hls.js places what follows a discontinuity by its first decoding time, and that must be no other than the
    time that it is shown at. Offsets of the pictures between may then be negative.
    """
    return int(track.cts[0])


class MediaClock:
    """Ticks of either track of a segment and µs from the first sample of its leading one."""

    def __init__(self, leading: TrackIndex) -> None:
        self._anchor, self._timescale = int(leading.pts[0]), leading.timescale

    def base(self, track: TrackIndex) -> int:
        """The instant from which all count, to the nearest tick of the track."""
        return (2 * self._anchor * track.timescale + self._timescale) // (2 * self._timescale)

    def us(self, track: TrackIndex, ticks: Ints) -> Ints:
        """Rounded to the nearest. Raises Mp4Error for times that no segment reaches."""
        whole, rest = divmod(self._anchor * track.timescale, self._timescale)
        # 300 s at the finest timescale take 27 of a double's 53 bits: nothing is lost before the rounding.
        seconds = (ticks - whole) / track.timescale - rest / (self._timescale * track.timescale)
        if np.abs(seconds).max(initial=0) * US_PER_SECOND > _MAX_REACH_US:
            raise Mp4Error(f"a {track.kind} sample lies far outside its segment")
        return np.rint(seconds * US_PER_SECOND).astype(np.int64)

    def length_us(self, track: TrackIndex) -> Ints:
        length: Ints = np.rint(track.duration * (US_PER_SECOND / track.timescale)).astype(np.int64)
        return length


def _bounds(video: TrackIndex | None, audio: TrackIndex | None, clock: MediaClock) -> tuple[Ints, Ints]:
    """The numbers of the first samples of each group, in either track, and how many there are.

    Sound goes with the pictures of its time, wherever the muxer put it.
    """
    at = clock.us(audio, audio.pts) if audio is not None else np.zeros(0, np.int64)
    if video is None:
        second = at // _SOUND_GROUP_US
        first = np.flatnonzero(np.diff(second, prepend=second[0] - 1))
        return np.zeros(len(first) + 1, np.int64), np.append(first, len(at))
    # A segment begins with a keyframe; where it does not, its decoder waits for one.
    keys = np.flatnonzero(video.sync)
    first = np.concatenate(([0], keys[keys > 0]))
    shown = clock.us(video, video.pts[first])
    heard: Ints = np.searchsorted(at, np.maximum.accumulate(shown))
    heard[0] = 0
    return np.append(first, len(video)), np.append(heard, len(at))


def _each(how: np.ufunc, values: Ints, bounds: Ints) -> Ints:
    """`how` over the values of each group; NONE_US for groups without any."""
    out = np.full(len(bounds) - 1, NONE_US)
    filled = np.diff(bounds) > 0
    if filled.any():
        out[filled] = how.reduceat(values, bounds[:-1][filled])
    return out
