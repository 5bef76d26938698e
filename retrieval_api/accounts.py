"""Accounts of staff: passwords, log-in, and what an administrator does to them.

Every change is one transaction with its custody event. A failed log-in costs the same time and says
the same words whether or not the name exists, is disabled, or is locked.
"""

from __future__ import annotations

import functools
import re
import secrets
import threading
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import custody
from archive.models import User
from archive.system import Archive
from recorder.errors import ProtokolError
from recorder.instants import US_PER_MINUTE
from retrieval_api import sessions
from retrieval_api.auth import ROLES

MAX_FAILURES = 5
LOCK_US = 15 * US_PER_MINUTE
MIN_PASSWORD = 12
# A hash of a megabyte would keep a core busy; no person types this much.
MAX_PASSWORD = 256
MAX_NAME = 64
_NAME = re.compile(rf"[\w.@-]{{2,{MAX_NAME}}}")
# Without letters and digits that are mistaken for each other.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_hasher = PasswordHasher()
# One hash takes 64 MiB: a crowd of log-ins waits here instead of filling the memory.
_hashing = threading.BoundedSemaphore(4)


class AccountError(ProtokolError):
    """An account cannot be made or changed as asked."""


@dataclass(frozen=True, slots=True)
class LogIn:
    """A log-in that succeeded: the token for the cookie, and who it is."""

    token: str
    user_id: int
    role: str


def log_in(archive: Archive, name: str, password: str, now_us: int) -> LogIn | None:
    """A new session, or None when name and password do not fit, or the account is locked or disabled.

    MAX_FAILURES failures in a row lock the account for LOCK_US. Durable on return, with its event.
    """
    with archive.database.reading() as session:
        user = _find(session, name)
    stored = user.password_hash if user else _nobodys_hash()
    right = _verify(stored, password) and user is not None
    rehashed = _hash(password) if right and _hasher.check_needs_rehash(stored) else None
    with archive.database.transaction() as session:
        # Looked up again under the write lock: failures that race must all count.
        live = session.get(User, user.id, with_for_update=True) if user else None
        if live is None or live.disabled_us is not None:
            _event(session, "login_failed", "anonymous", now_us, live)
            return None
        locked = live.locked_until_us is not None and now_us < live.locked_until_us
        if locked or not right or live.password_hash != stored:
            if not locked:
                _count_failure(live, now_us)
            _event(session, "login_failed", "anonymous", now_us, live)
            return None
        live.failures, live.locked_until_us = 0, None
        if rehashed:
            live.password_hash = rehashed
        token = sessions.begin(session, archive, now_us, user_id=live.id)
        _event(session, "login", f"user:{live.id}", now_us, live)
        return LogIn(token, live.id, live.role)


def log_out(archive: Archive, token: str, user_id: int, now_us: int) -> None:
    with archive.database.transaction() as session:
        sessions.end(session, token)
        _event(session, "logout", f"user:{user_id}", now_us, session.get(User, user_id))


def add(archive: Archive, name: str, role: str, password: str, actor: str, now_us: int) -> int:
    """A new account; returns its id. Raises AccountError for a bad or taken name, role or password."""
    if not _NAME.fullmatch(name):
        raise AccountError(f"bad name {name[:70]!r}: 2 to 64 letters, digits, dots, dashes or @")
    if role not in ROLES:
        raise AccountError(f"unknown role {role[:40]!r}; the roles are {', '.join(ROLES)}")
    check_password(password)
    password_hash = _hash(password)
    with archive.database.transaction() as session:
        # Two at once: the second one sees the first.
        custody.append(session)
        if _find(session, name):
            raise AccountError(f"there is a user {name!r} already; `protokol user list` shows all")
        user = User(name=name, role=role, password_hash=password_hash, failures=0, created_us=now_us)
        session.add(user)
        session.flush()
        _event(session, "user_added", actor, now_us, user)
        return user.id


def disable(archive: Archive, name: str, actor: str, now_us: int) -> None:
    """No log-in from now on, and every session ends at once. Raises AccountError for an unknown name."""
    with archive.database.transaction() as session:
        user = _require(session, name)
        if user.disabled_us is None:
            user.disabled_us = now_us
            sessions.end_all_of_user(session, user.id)
            _event(session, "user_disabled", actor, now_us, user)


def reset(archive: Archive, name: str, password: str, actor: str, now_us: int) -> None:
    """A new password; ends every session, unlocks and enables the account. Raises AccountError."""
    check_password(password)
    password_hash = _hash(password)
    with archive.database.transaction() as session:
        user = _require(session, name)
        user.password_hash = password_hash
        user.failures, user.locked_until_us, user.disabled_us = 0, None, None
        sessions.end_all_of_user(session, user.id)
        _event(session, "user_reset", actor, now_us, user)


def everyone(archive: Archive) -> list[User]:
    with archive.database.reading() as session:
        return list(session.scalars(select(User).order_by(User.name)))


def names(session: Session) -> dict[str, str]:
    """Actor of custody events (`user:ID`) → name."""
    return {f"user:{user.id}": user.name for user in session.scalars(select(User))}


def make_password() -> str:
    """Sixteen characters in four groups: 79 bits, and it can be read out over the telephone."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return "-".join(letters[i : i + 4] for i in range(0, 16, 4))


def check_password(password: str) -> None:
    """Raises AccountError for one that is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise AccountError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")


@functools.cache
def _nobodys_hash() -> str:
    """Verified for names that do not exist, so that they take as long as those that do."""
    return _hash(secrets.token_urlsafe(16))


def _hash(password: str) -> str:
    with _hashing:
        return _hasher.hash(password)


def _verify(stored: str, password: str) -> bool:
    try:
        with _hashing:
            return _hasher.verify(stored, password[: MAX_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        return False


def _count_failure(user: User, now_us: int) -> None:
    user.failures += 1
    if user.failures >= MAX_FAILURES:
        user.failures, user.locked_until_us = 0, now_us + LOCK_US


def _find(session: Session, name: str) -> User | None:
    return session.scalars(select(User).where(User.name == name)).one_or_none()


def _require(session: Session, name: str) -> User:
    user = _find(session, name)
    if user is None:
        raise AccountError(f"there is no user {name[:70]!r}; `protokol user list` shows all")
    return user


def _event(session: Session, action: str, actor: str, now_us: int, user: User | None) -> None:
    """Bears ids alone: a name tried in vain may be a password typed into the wrong field."""
    subject = f"user:{user.id}" if user else None
    details = {"role": user.role} if user else {}
    custody.append(session, custody.Event(action, actor, now_us, subject=subject, details=details))
