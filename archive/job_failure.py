"""Why a job failed, as a code: what people are told and advised depends on it, not on an error's text."""

from __future__ import annotations

import errno
from typing import Literal, get_args

from sqlalchemy.exc import SQLAlchemyError

from archive.database import DatabaseError
from archive.disk_errors import DatabaseFullError
from archive.store import StoreAwayError, StoreFullError

Failure = Literal[
    "holds_unconfirmed",
    "needs_confirmation",
    "clocks_differ",
    "worker_died",
    "no_space",
    "store_away",
    "database_away",
    "decoding_slow",
    "decoding_ended",
    "other",
]
FAILURES: tuple[Failure, ...] = get_args(Failure)


def failure_of(error: BaseException) -> Failure:
    """The error's own word (`failure`, for what only a floor above knows), else what its kind tells."""
    own: Failure | None = getattr(error, "failure", None)
    if own is not None:
        return own
    match error:
        case DatabaseFullError() | StoreFullError():
            return "no_space"
        case OSError() if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return "no_space"
        case StoreAwayError():
            return "store_away"
        case SQLAlchemyError() | DatabaseError():
            return "database_away"
        case _:
            return "other"
