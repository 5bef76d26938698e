"""Which failures of a database are answered by "try again", which by "not so", and which are defects."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import exc

from archive.database import DatabaseError
from retrieval_api.database_problems import install, problem_of
from retrieval_api.problems import as_problem


def status(error):
    problem = problem_of(error)
    return problem and problem.status


def wrapped(kind, orig, **more):
    return kind("SELECT secret", {"name": "Somebody"}, orig, **more)


def locked(code):
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    return wrapped(exc.OperationalError, error)


def test_what_passes_is_asked_for_again():
    away = wrapped(exc.OperationalError, psycopg.errors.AdminShutdown())
    assert status(away) == 503
    assert problem_of(away).headers["Retry-After"] == "5"
    assert status(wrapped(exc.OperationalError, psycopg.errors.LockNotAvailable())) == 503
    assert status(wrapped(exc.InternalError, psycopg.errors.ReadOnlySqlTransaction())) == 503
    assert status(wrapped(exc.DBAPIError, psycopg.Error(), connection_invalidated=True)) == 503
    assert status(exc.TimeoutError("QueuePool limit")) == 503
    assert status(locked(sqlite3.SQLITE_BUSY)) == 503
    # An extended code: the primary one is its lowest byte.
    assert status(locked(sqlite3.SQLITE_BUSY_SNAPSHOT)) == 503


def test_what_no_database_stores_is_the_senders():
    assert status(wrapped(exc.DataError, psycopg.DataError("NUL"))) == 400


@pytest.mark.parametrize(
    "error",
    [
        locked(sqlite3.SQLITE_ERROR),
        wrapped(exc.ProgrammingError, psycopg.errors.UndefinedTable()),
        wrapped(exc.IntegrityError, psycopg.errors.UniqueViolation()),
        exc.InvalidRequestError("a defect"),
    ],
)
def test_the_rest_is_a_defect(error):
    assert problem_of(error) is None


def test_nothing_of_a_statement_is_told():
    told = str(problem_of(wrapped(exc.OperationalError, psycopg.errors.AdminShutdown())).document())
    assert "secret" not in told
    assert "Somebody" not in told


def test_keys_that_are_away_are_asked_for_again_and_their_database_is_not_named():
    install(FastAPI())
    problem = as_problem(DatabaseError("the key database postgresql://keys.internal failed"))
    assert problem.status == 503
    assert "keys.internal" not in str(problem.document())
