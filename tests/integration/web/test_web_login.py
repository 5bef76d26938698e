"""Log-in, sessions, roles and form tokens, over a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from archive.models import CustodyEvent, LoginSession, User
from recorder.instants import US_PER_MINUTE
from retrieval_api import accounts, sessions
from tests.footage import make_archive
from tests.web import PASSWORD, Client, add_staff, serving


def actions(archive, since: int = 0) -> list[str]:
    with archive.database.reading() as session:
        statement = select(CustodyEvent.action).where(CustodyEvent.sequence > since)
        return list(session.scalars(statement.order_by(CustodyEvent.sequence)))


def last_sequence(archive) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(CustodyEvent.sequence).order_by(CustodyEvent.sequence.desc())) or 0


def test_log_in_and_out(archive, client) -> None:
    before = last_sequence(archive)
    answer = client.log_in("operator")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/staff/board"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    token = client.cookies[sessions.STAFF_COOKIE]
    with archive.database.reading() as session:
        stored = [row.token_sha256 for row in session.scalars(select(LoginSession))]
    assert token not in stored
    assert client.get("/staff/board").status_code == 200
    assert client.form("/staff/board", "/staff/logout").headers["Location"] == "/staff/login"
    client.cookies.set(sessions.STAFF_COOKIE, token)
    assert client.get("/staff/board").status_code == 303, "the session must be gone, not only the cookie"
    assert actions(archive, before) == ["login", "logout"]


def test_secure_cookies_are_the_default(tmp_path) -> None:
    made = make_archive(tmp_path, secure_cookies=True)
    add_staff(made)
    with serving(made) as url, Client(base_url=url) as client:
        assert "; Secure" in client.get("/staff/login").headers["Set-Cookie"]
    made.close()


def test_a_wrong_password_and_an_unknown_name_look_alike(archive, client) -> None:
    before = last_sequence(archive)
    wrong = client.log_in("reviewer", "wrong wrong wrong")
    unknown = client.log_in("nobody-here", "wrong wrong wrong")
    assert wrong.status_code == unknown.status_code == 401
    same = wrong.text.replace("reviewer", "X"), unknown.text.replace("nobody-here", "X")
    assert same[0] == same[1]
    assert actions(archive, before) == ["login_failed", "login_failed"]
    with archive.database.reading() as session:
        rows = session.scalars(select(CustodyEvent).where(CustodyEvent.sequence > before))
        assert "nobody-here" not in "".join(row.details + str(row.subject) for row in rows)


def test_five_failures_close_the_log_in_for_fifteen_minutes(archive, client, clock) -> None:
    for _ in range(accounts.MAX_FAILURES):
        assert client.log_in("clerk", "wrong wrong wrong").status_code == 401
    assert client.log_in("clerk").status_code == 401
    clock.forward(accounts.LOCK_US + 1)
    assert client.log_in("clerk").status_code == 303


def test_failures_that_race_all_count(archive) -> None:
    with archive.database.transaction() as session:
        session.scalars(select(User).where(User.name == "auditor")).one().failures = 0
    with ThreadPoolExecutor(accounts.MAX_FAILURES) as pool:
        tries = [pool.submit(accounts.log_in, archive, "auditor", "wrong wrong wrong", 1) for _ in range(5)]
        assert [each.result() for each in tries] == [None] * 5
    with archive.database.reading() as session:
        assert session.scalars(select(User).where(User.name == "auditor")).one().locked_until_us
    accounts.reset(archive, "auditor", PASSWORD, "cli:0", 2)


def test_a_form_without_its_token_changes_nothing(archive, client) -> None:
    assert client.post("/staff/login", data={"name": "admin", "password": PASSWORD}).status_code == 403
    forged = client.post("/staff/login", data={"name": "admin", "password": PASSWORD, "csrf": "x" * 64})
    assert forged.status_code == 403
    assert "Нічого не змінено" in forged.text
    client.log_in("admin")
    assert client.post("/staff/logout").status_code == 403
    assert client.get("/staff/board").status_code == 200


def test_a_token_of_another_browser_does_not_pass(url, client) -> None:
    with Client(base_url=url) as other:
        answer = other.get("/staff/login")
        token = answer.text.split('name="csrf" value="')[1].split('"')[0]
    client.get("/staff/login")
    fields = {"csrf": token, "name": "admin", "password": PASSWORD}
    assert client.post("/staff/login", data=fields).status_code == 403


def test_a_page_sends_to_the_log_in_and_back(client) -> None:
    sent = client.get("/staff/custody?room=108")
    assert sent.status_code == 303
    assert sent.headers["Location"] == "/staff/login?next=%2Fstaff%2Fcustody%3Froom%3D108"
    back = client.form(
        sent.headers["Location"], name="auditor", password=PASSWORD, next="/staff/custody?room=108"
    )
    assert back.headers["Location"] == "/staff/custody?room=108"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/staff/", "/staff/login", "/staff/\\evil", "/other"]
)
def test_a_log_in_never_leads_elsewhere(client, target) -> None:
    answer = client.form("/staff/login", name="admin", password=PASSWORD, next=target)
    assert answer.headers["Location"] == "/staff/board"


def test_roles(url) -> None:
    allowed = {
        "/staff/board": {"clerk", "operator", "reviewer", "auditor", "admin"},
        "/staff/rooms/108/day": {"operator", "auditor", "admin"},
        "/api/v1/rooms/108/coverage?date=2026-11-20": {"operator", "auditor", "admin"},
        "/staff/custody": {"auditor", "admin"},
        "/staff/certificates": {"auditor", "admin"},
        "/checkpoints": {"clerk", "operator", "reviewer", "auditor", "admin"},
    }
    for role in ("clerk", "operator", "reviewer", "auditor", "admin"):
        with Client(base_url=url) as client:
            assert client.log_in(role).status_code == 303, role
            for path, roles in allowed.items():
                assert client.get(path).status_code == (200 if role in roles else 403), (role, path)


def test_disabling_ends_sessions_at_once(archive, client) -> None:
    accounts.add(archive, "leaving", "operator", PASSWORD, "cli:0", 1)
    client.log_in("leaving")
    assert client.get("/staff/board").status_code == 200
    accounts.disable(archive, "leaving", "cli:0", 2)
    assert client.get("/staff/board").status_code == 303
    assert client.log_in("leaving").status_code == 401
    accounts.reset(archive, "leaving", PASSWORD, "cli:0", 3)
    assert client.log_in("leaving").status_code == 303


def test_a_session_ends_by_idleness_and_by_age(archive, client, clock) -> None:
    client.log_in("operator")
    clock.forward(sessions.IDLE_US - US_PER_MINUTE)
    assert client.get("/staff/board").status_code == 200
    clock.forward(sessions.IDLE_US - US_PER_MINUTE)
    # A board that refreshes itself is not use.
    assert client.get("/staff/board", headers={"HX-Request": "true"}).status_code == 200
    clock.forward(2 * US_PER_MINUTE)
    assert client.get("/staff/board").status_code == 303
    client.log_in("operator")
    for _ in range(archive.settings.session_hours * 2 - 1):
        clock.forward(sessions.IDLE_US // 2)
        assert client.get("/staff/board").status_code == 200
    clock.forward(sessions.IDLE_US // 2 + 1)
    assert client.get("/staff/board").status_code == 303


def test_a_fragment_without_a_session_loads_the_log_in_whole(client) -> None:
    asked = {"HX-Request": "true"}
    assert client.get("/staff/board", headers=asked).headers["HX-Redirect"] == "/staff/login"
    asked["HX-Current-URL"] = f"{client.base_url}/staff/day?room=108&date=2026-11-20"
    came_from = "%2Fstaff%2Fday%3Froom%3D108%26date%3D2026-11-20"
    answer = client.get("/staff/board", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"] == f"/staff/login?next={came_from}"
    asked["HX-Current-URL"] = "http://[no address"
    assert client.get("/staff/board", headers=asked).headers["HX-Redirect"] == "/staff/login"


def test_an_old_hash_is_renewed_at_the_log_in(archive, client) -> None:
    accounts.add(archive, "veteran", "operator", PASSWORD, "cli:0", 1)
    with archive.database.transaction() as session:
        user = session.scalars(select(User).where(User.name == "veteran")).one()
        user.password_hash = old = PasswordHasher(time_cost=1, memory_cost=8192).hash(PASSWORD)
    assert client.log_in("veteran").status_code == 303
    with archive.database.reading() as session:
        assert session.scalars(select(User).where(User.name == "veteran")).one().password_hash != old
    assert accounts.log_in(archive, "veteran", PASSWORD, 2) is not None
