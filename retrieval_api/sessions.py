"""Log-in sessions, of staff and of residents (number + PIN), and the tokens that guard their forms.

The cookie holds 32 random bytes, the database only their hash: whoever reads the database cannot log
in. A session ends by log-out, by an hour without use, or `SESSION_HOURS` after it began.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Request, Response
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from archive.models import LoginSession, User
from archive.system import Archive
from recorder.instants import US_PER_MINUTE
from retrieval_api.problems import CSRF_PAGE, Problem

STAFF_COOKIE = "protokol_staff"
REQUEST_COOKIE = "protokol_request"
_ANONYMOUS_COOKIE = "protokol_form"
CSRF_FIELD = "csrf"
IDLE_US = 60 * US_PER_MINUTE
_HOUR_US = 60 * US_PER_MINUTE
# Pushing the end of a session on is a write; once a minute is exact enough.
_EXTEND_AFTER_US = US_PER_MINUTE
_OF_STAFF = (
    select(LoginSession, User)
    .join(User, User.id == LoginSession.user_id)
    .where(LoginSession.token_sha256 == bindparam("of_token"))
)


def begin(
    session: Session,
    archive: Archive,
    now_us: int,
    *,
    user_id: int | None = None,
    request_id: int | None = None,
) -> str:
    """A new session of a user or of a request; returns the token for the cookie. Durable on commit."""
    token = secrets.token_urlsafe(32)
    session.add(
        LoginSession(
            token_sha256=_sha256(token),
            user_id=user_id,
            request_id=request_id,
            csrf=secrets.token_urlsafe(24),
            created_us=now_us,
            expires_us=now_us + min(IDLE_US, _lifetime_us(archive)),
        )
    )
    return token


def find(archive: Archive, token: str | None, now_us: int, *, extend: bool = True) -> LoginSession | None:
    """The live session of a cookie's token. With `extend`, its idle time begins anew."""
    if not token:
        return None
    with archive.database.reading() as session:
        row = session.get(LoginSession, _sha256(token))
    return row if row is not None and _lasts(archive, row, now_us, extend=extend) else None


def find_user(
    archive: Archive, token: str | None, now_us: int, *, extend: bool = True
) -> tuple[LoginSession, User] | None:
    """As `find`, for a session of staff, with its user. One question for both: every request asks it."""
    if not token:
        return None
    with archive.database.reading() as session:
        found = session.execute(_OF_STAFF, {"of_token": _sha256(token)}).one_or_none()
    if found is None or not _lasts(archive, found[0], now_us, extend=extend):
        return None
    return found[0], found[1]


def _lasts(archive: Archive, row: LoginSession, now_us: int, *, extend: bool) -> bool:
    if now_us >= row.expires_us:
        return False
    until_us = min(now_us + IDLE_US, row.created_us + _lifetime_us(archive))
    if extend and until_us - row.expires_us >= _EXTEND_AFTER_US:
        with archive.database.transaction() as session:
            # It may have been ended meanwhile: then nothing is pushed on.
            session.execute(
                update(LoginSession)
                .where(LoginSession.token_sha256 == row.token_sha256)
                .values(expires_us=until_us)
            )
    return True


def still_alive(session: Session, tokens_sha256: Iterable[str], now_us: int) -> dict[str, str]:
    """Those of these sessions of staff that last, by the hash of their token → the user's role. No use of
    them: their idle time goes on.
    """
    statement = (
        select(LoginSession.token_sha256, User.role)
        .join(User, User.id == LoginSession.user_id)
        .where(
            LoginSession.token_sha256.in_(tokens_sha256),
            LoginSession.expires_us > now_us,
            User.disabled_us.is_(None),
        )
    )
    return {row.token_sha256: row.role for row in session.execute(statement)}


def keep_ground(session: Session, token: str, ground: str) -> None:
    """This visit opens footage on that ground from now on, until it ends or another is stated."""
    session.execute(
        update(LoginSession).where(LoginSession.token_sha256 == _sha256(token)).values(ground=ground)
    )


def end(session: Session, token: str) -> None:
    session.execute(delete(LoginSession).where(LoginSession.token_sha256 == _sha256(token)))


def end_all_of_user(session: Session, user_id: int) -> None:
    session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))


def end_all_of_request(session: Session, request_id: int) -> None:
    session.execute(delete(LoginSession).where(LoginSession.request_id == request_id))


def forget_expired(archive: Archive, now_us: int) -> None:
    with archive.database.transaction() as session:
        session.execute(delete(LoginSession).where(LoginSession.expires_us <= now_us))


def set_cookie(response: Response, archive: Archive, name: str, token: str) -> None:
    """A cookie that scripts cannot read and other sites cannot send with a form; ends with the browser."""
    response.set_cookie(
        name, token, httponly=True, samesite="lax", secure=archive.settings.secure_cookies, path="/"
    )


def clear_cookie(response: Response, archive: Archive, name: str) -> None:
    response.delete_cookie(
        name, httponly=True, samesite="lax", secure=archive.settings.secure_cookies, path="/"
    )


def check_csrf(expected: str, given: str) -> None:
    """Raises Problem 403 unless the form bears the session's own token."""
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise Problem(403, "csrf", "the form's token is missing or stale; load the form anew", page=CSRF_PAGE)


# --- forms of readers without a session -----------------------------------------------------------


def anonymous_csrf(request: Request, archive: Archive) -> tuple[str, str | None]:
    """(value of the form's hidden field, cookie to set or None) for a form without a session.

    A signed double submit: the field is an HMAC of the cookie under a key of the server's, so another
    site, which can make a browser send a cookie but not read it, cannot make a form that passes.
    """
    cookie = request.cookies.get(_ANONYMOUS_COOKIE)
    fresh = None
    if not cookie:
        cookie = fresh = secrets.token_urlsafe(24)
    return _sign(archive, cookie), fresh


def set_anonymous_cookie(response: Response, archive: Archive, fresh: str | None) -> None:
    """Put the cookie that `anonymous_csrf` asked for; nothing when it is there already."""
    if fresh:
        set_cookie(response, archive, _ANONYMOUS_COOKIE, fresh)


def check_anonymous_csrf(request: Request, archive: Archive, given: str) -> None:
    """Raises Problem 403 unless the form was made by this server for this browser."""
    cookie = request.cookies.get(_ANONYMOUS_COOKIE)
    # Without a cookie nothing can match: compare all the same, with a value that no form bears.
    check_csrf(_sign(archive, cookie) if cookie else secrets.token_urlsafe(24), given)


def _sign(archive: Archive, cookie: str) -> str:
    """Each process derives the same key from the server's, so any of them may answer the form."""
    key = HKDF(hashes.SHA256(), 32, salt=None, info=b"protokol anonymous forms").derive(
        archive.server_key.private_bytes_raw()
    )
    return hmac.new(key, cookie.encode(), hashlib.sha256).hexdigest()


def _lifetime_us(archive: Archive) -> int:
    return archive.settings.session_hours * _HOUR_US


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
