"""How long the media of a segment lasts by its own account, against what its manifest says. Pure."""

from __future__ import annotations

from archive.mp4.index import SegmentIndex
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval

# A camera is given up after 1 s of silence, sound may outlast the picture by a fragment, clocks drift by
# less: generous, so that no honest host is accused.
TOLERANCE_US = 6 * US_PER_SECOND


def media_us(index: SegmentIndex) -> int:
    """From the first presentation time of any track to the last end, in microseconds; 0 without samples."""
    starts, ends = [], []
    for track in index.tracks:
        if len(track):
            starts.append(int(track.pts.min()) * US_PER_SECOND // track.timescale)
            ends.append(int((track.pts + track.duration).max()) * US_PER_SECOND // track.timescale)
    return max(ends) - min(starts) if ends else 0


def contradiction(index: SegmentIndex, interval: Interval) -> str | None:
    """Why these media cannot be those of the interval, or None.

    It also bounds what a clip is made of: nobody can promise a year of silence in two minutes.
    """
    stated_us, found_us = interval.duration_us, media_us(index)
    if abs(stated_us - found_us) <= TOLERANCE_US:
        return None
    return (
        f"the manifest states {stated_us / US_PER_SECOND:.1f} s, "
        f"the media last {found_us / US_PER_SECOND:.1f} s"
    )
