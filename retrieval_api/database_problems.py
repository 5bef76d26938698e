"""How a request is answered that the database has failed: try again (503), or not with this text (400).

What is neither stays a defect. The driver's words are logged, never shown: SQLAlchemy's own bear the
statement's parameters, which are people's data.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import exc
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, SQLAlchemyError

from archive.database import DatabaseError
from recorder.logging import get_logger
from retrieval_api.i18n import N_
from retrieval_api.problems import AwayProblem, PageText, Problem, on_defect, respond, translate

_log = get_logger()
# A restart of PostgreSQL, or its failover, takes seconds.
RETRY_AFTER_S: Final = 5
_PRIMARY: Final = 0xFF
_SQLITE_AWAY: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}
# read_only_sql_transaction: the address has become a standby's.
_READ_ONLY: Final = "25006"
_UNSTORABLE = PageText(
    N_("Цей текст не можна зберегти"),
    N_("У ньому є знак, якого не буває в тексті. Поверніться назад, наберіть його заново і надішліть."),
)


def problem_of(error: SQLAlchemyError) -> Problem | None:
    """The answer to a failure of the database; None for one that only a mended program can avoid."""
    if isinstance(error, DataError):
        detail = "a text or a number in the request cannot be stored; send it without control characters"
        return Problem(400, "unstorable", detail, page=_UNSTORABLE)
    return _away() if _is_away(error) else None


def install(app: FastAPI) -> None:
    """Failures of the index and of the keys' database leave through here."""
    app.add_exception_handler(SQLAlchemyError, _on_database_error)
    translate(DatabaseError, _on_keys_error)


def _away() -> Problem:
    return AwayProblem(
        503,
        "database_away",
        "the database cannot be asked now; nothing was changed, try again",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _is_away(error: SQLAlchemyError) -> bool:
    # Every connection of the pool is in use.
    if isinstance(error, exc.TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return sqlite_code & _PRIMARY in _SQLITE_AWAY
    lost = error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _READ_ONLY
    return lost or isinstance(error, OperationalError)


def _on_database_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error) if isinstance(error, SQLAlchemyError) else None
    if problem is None:
        return on_defect(request, error)
    reason = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
    _log.warning("database_failed_request", code=problem.code, path=request.url.path, reason=reason)
    return respond(request, problem)


def _on_keys_error(error: DatabaseError) -> Problem:
    _log.warning("database_failed_request", code="database_away", reason=str(error))
    return _away()
