"""What retention refuses, and why: each is something a person can mend or has to know."""

from __future__ import annotations

from recorder.errors import ProtokolError


class DayGoneError(ProtokolError):
    """The footage asked for is purged or due, and no active hold keeps any of it."""


class HoldError(ProtokolError):
    """A hold that does not exist, is released already, or would be changed as a hold never may be."""


class ClockError(ProtokolError):
    """The clocks do not agree, or `--now` was given where it must not be: nothing is destroyed."""


class ConfirmationError(ProtokolError):
    """A person must look first: the run would destroy more than half of the archive, or another plan than the
    confirmed one, or the holds of a rebuilt index are not confirmed.
    """


class PurgeError(ProtokolError):
    """A purge could not be finished; the next run goes on where it stopped."""
