"""What retention refuses, and why: each is something a person can mend or has to know."""

from __future__ import annotations

from archive.job_failure import Failure
from recorder.errors import ProtokolError


class DayGoneError(ProtokolError):
    """The footage asked for is purged or due, and no active hold keeps any of it."""


class HoldError(ProtokolError):
    """A hold that does not exist, is released already, or would be changed as a hold never may be."""


class ClockError(ProtokolError):
    """The clocks do not agree, or `--now` was given where it must not be: nothing is destroyed."""

    failure: Failure = "clocks_differ"


class ConfirmationError(ProtokolError):
    """A person must look first: the run would destroy more than half of the archive, or another plan than the
    confirmed one.
    """

    failure: Failure = "needs_confirmation"


class HoldsUnconfirmedError(ConfirmationError):
    """The holds of a rebuilt index are not confirmed, or others than those that were looked at."""

    failure: Failure = "holds_unconfirmed"


class PurgeError(ProtokolError):
    """A purge could not be finished; the next run goes on where it stopped."""

    def __init__(self, message: str, failure: Failure = "other") -> None:
        super().__init__(message)
        self.failure = failure
