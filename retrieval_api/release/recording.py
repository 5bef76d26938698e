"""The released recording: exactly the approved interval, for as long as the decision lets it be seen."""

from __future__ import annotations

from dataclasses import dataclass

from archive.door import Ground
from archive.models import Request
from recorder.errors import ProtokolError
from recorder.intervals import Interval
from retrieval_api.clip_response import Opening
from retrieval_api.requests.decision import state_of


class NotReleasedError(ProtokolError):
    """Nothing of this request may be received. `code`: `not_released` or `link_expired`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Release:
    """An approved interval of a room (its id). `until_us` is exclusive."""

    number: str
    room: str
    interval: Interval
    until_us: int

    def opening(self, actor: str) -> Opening:
        """What is opened to hand it out: not one sample from outside the interval (invariant 9)."""
        return Opening(actor, self.room, self.interval, Ground("request", self.number), exact=True)


def release_of(request: Request, now_us: int) -> Release:
    """Raises NotReleasedError before the decision, after a refusal, after the end of access."""
    if not state_of(request).is_released:
        raise NotReleasedError("not_released", f"the recording of {request.number} is not released")
    if request.link_until_us is None or now_us >= request.link_until_us:
        raise NotReleasedError("link_expired", f"access to the recording of {request.number} has ended")
    return Release(
        request.number,
        str(request.matched_room),
        Interval(request.start_us or 0, request.end_us or 0),
        request.link_until_us,
    )
