"""What an S3 store's failure means, and how long it is tried again.

Everything is bounded: no attempt begins after `give_up_s`, and one takes `request_s` at most for each of
its requests (connecting included).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from archive.store import ObjectMissingError, StoreAwayError, StoreError, StoreFullError

_T = TypeVar("_T")
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0

# obstore tells these in its message only.
_STATUS = re.compile(r"(?:status(?: code)?:?|with status) (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_FULL_STATUSES = {"413", "507"}
_FULL_CODES = {"QuotaExceeded", "EntityTooLarge", "InsufficientStorage", "XMinioStorageFull"}
# Refused for what happened on the way, or for now: the same request may do well the next time.
_PASSING_CODES = {
    "BadDigest", "IncompleteBody", "InvalidDigest", "NoSuchUpload", "RequestTimeout", "SlowDown",
    "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
}  # fmt: skip
_PASSING_STATUSES = {"408", "409", "429"}


class ChecksumError(Exception):
    """The store has, or gave, other bytes than it should."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. At most `give_up_s + request_s` for what is one request."""

    request_s: float
    give_up_s: float


# 64 MiB in 45 s are 12 Mbit/s: what a store that keeps up with three rooms must have.
WRITING = Patience(request_s=45, give_up_s=45)
# A person waits for it.
READING = Patience(request_s=10, give_up_s=15)


def told(error: Exception) -> str:
    """Status and code of the store's answer, for a message; never its body, which may repeat what we sent."""
    if isinstance(error, ChecksumError):
        return str(error)
    text = str(error)
    found = [match.group(1) for match in (_STATUS.search(text), _CODE.search(text)) if match]
    if found:
        return " ".join(found)
    if "timed out" in text or "TimedOut" in text:
        return "no answer in time"
    return (
        "no access" if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) else "no connection"
    )


def retrying(what: str, patience: Patience, attempt: Callable[[], _T]) -> _T:
    """The first result of `attempt`. `what` begins the message: "cannot store NAME".

    Raises ObjectMissingError (404), StoreFullError, StoreError (at once for what will not pass),
    StoreAwayError (when patience is at its end; at once where credentials or bucket are not taken).
    """
    deadline = time.monotonic() + patience.give_up_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StoreAwayError(f"{what}: the store has no such bucket; make it first") from error
            if _lasting(error):
                raise ObjectMissingError(f"{what}: the store has none") from error
            failure: Exception = error
        except (BaseError, ChecksumError, OSError, ValueError) as error:
            if _is_full(error):
                raise StoreFullError(f"{what}: the store has no room left ({told(error)})") from error
            if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) and _lasting(error):
                raise StoreAwayError(f"{what}: {told(error)}") from error
            if _lasting(error):
                raise StoreError(f"{what}: {told(error)}") from error
            failure = error
        if time.monotonic() + pause_s > deadline:
            raise StoreAwayError(
                f"{what}: {told(failure)}; tried for {patience.give_up_s:.0f} s"
            ) from failure
        # Half of it by chance: servers that failed together do not come back together.
        time.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)


def _parts(error: Exception) -> tuple[str, str]:
    status, code = _STATUS.search(str(error)), _CODE.search(str(error))
    return (status.group(1) if status else "", code.group(1) if code else "")


def _is_full(error: Exception) -> bool:
    status, code = _parts(error)
    return status in _FULL_STATUSES or code in _FULL_CODES


def _lasting(error: Exception) -> bool:
    """Whether the same request would be refused again."""
    if isinstance(error, ChecksumError):
        return False
    status, code = _parts(error)
    if code in _PASSING_CODES or status in _PASSING_STATUSES:
        return False
    if isinstance(error, (FileNotFoundError, PermissionDeniedError, UnauthenticatedError, ValueError)):
        return True
    return status.startswith("4")
