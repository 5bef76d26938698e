"""Decoding times of the pictures that come before FFmpeg knows the order of decoding.

RTP tells when a picture is shown, not when it is decoded. FFmpeg finds that out, and leaves it open for
the first picture, or with B-frames for the first few; a camera begins with just the keyframe that a
recording may begin with. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Times = tuple[int | None, int | None]


def complete(times: Sequence[Times]) -> list[Times]:
    """(shown, decoded) of a stream's first pictures, in the order of decoding, without the holes at their
    beginning where what follows tells how to fill them; in ticks, and never shown before decoded.

    Decoding goes on by one picture's time a picture. A first picture of unknown time is shown one before
    all others: that is right for a keyframe, which nothing but a whole recording would miss.
    """
    known = next((place for place, (_, decoded) in enumerate(times) if decoded is not None), None)
    shown = sorted({at for at, _ in times if at is not None})
    steps = [after - before for before, after in itertools.pairwise(shown)]
    if not known or not steps:
        return list(times)
    frame, first = min(steps), times[known][1] or 0
    filled: list[Times] = []
    for place, (at, decoded) in enumerate(times):
        due = first - (known - place) * frame if place < known else decoded
        at_least = shown[0] - frame if at is None and place == 0 else at
        filled.append((at_least, due if at_least is None or due is None else min(due, at_least)))
    return filled
