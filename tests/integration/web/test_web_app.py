"""What holds for every answer: bounds, headers, errors in the form that the reader understands."""

from __future__ import annotations

import csv
import html
import io
import itertools
import json
import re

import httpx
import pytest
from sqlalchemy import select

from archive import custody
from archive.models import RoomDay
from recorder.instants import now_us
from retention import purge
from tests.footage import SECOND, FakeAgent, make_archive
from tests.web import PASSWORD, add_staff, serving

MILLION = "я" * 1_000_000


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    made = make_archive(tmp_path_factory.mktemp("app"), public_url="https://records.example")
    add_staff(made)
    yield made
    made.close()


def test_health(client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_security_headers_are_on_every_answer(client) -> None:
    for path in ("/staff/login", "/nowhere", "/api/nowhere", "/static/css/base.css", "/healthz"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Strict-Transport-Security" not in headers
    behind_proxy = client.get("/healthz", headers={"X-Forwarded-Proto": "https"})
    assert "max-age" in behind_proxy.headers["Strict-Transport-Security"]
    assert client.get("/staff/login").headers["Cache-Control"] == "no-store"


def test_no_page_has_inline_script_or_style(client) -> None:
    client.log_in("admin")
    for path in ("/staff/board", "/staff/rooms/108/day", "/staff/custody", "/staff/faults", "/notice/108"):
        shown = client.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", shown), path
        assert "<style" not in shown, path
        assert not re.search(r"\sstyle=|\son\w+=", shown), path
        assert not re.search(r'(?:src|href)="(?:https?:)?//(?!records\.example|127\.0\.0\.1)', shown), path


def test_errors_are_problems_for_programs_and_pages_for_people(client) -> None:
    missing = client.get("/api/v1/nowhere")
    assert missing.headers["Content-Type"] == "application/problem+json"
    assert missing.json()["code"] == "not_found"
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert "Такої сторінки немає" in page.text
    assert "There is no such page" in client.get("/nowhere?lang=en").text
    assert client.delete("/staff/login").status_code == 405


def test_the_language_is_remembered_and_strange_ones_are_not(client) -> None:
    assert '<html lang="uk">' in client.get("/staff/login").text
    assert '<html lang="uk">' in client.get("/staff/login?lang=xx").text
    assert '<html lang="en">' in client.get("/staff/login?lang=en").text
    assert '<html lang="en">' in client.get("/staff/login").text
    assert 'href="?next=a%26b&amp;lang=uk"' in client.get("/staff/login?next=a%26b").text


def test_a_million_characters_in_a_field_get_an_answer(client) -> None:
    page = client.form("/staff/login", name=MILLION, password=MILLION)
    assert page.status_code == 413
    assert "Забагато тексту" in page.text
    answer = client.form("/staff/login", name=MILLION, password="x")
    assert answer.status_code == 401
    assert len(answer.text) < 100_000
    assert client.log_in("operator").status_code == 303


def test_a_body_without_a_length_is_bounded_too(client) -> None:
    def endless():
        for _ in range(20):
            yield b"a=" + b"x" * 1_000_000

    answer = client.post("/staff/login", content=endless())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"name=%ff%fe", "application/x-www-form-urlencoded", 400),
        ("name=я".encode(), "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=b" for _ in range(500)), "application/x-www-form-urlencoded", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"{}", "application/json", 415),
    ],
)
def test_strange_forms_are_refused_in_words(client, content, kind, status) -> None:
    answer = client.post("/staff/login", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert "<h1>" in answer.text


def test_only_files_of_ours_are_static(client) -> None:
    assert "htmx" in client.get("/static/vendor/htmx.min.js").text[:200]
    assert "Hls" in client.get("/static/vendor/hls.min.js").text
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/vendor/../../app.py",
        "/static/vendor/x",
    ):
        assert client.get(path).status_code == 404, path


def test_openapi_describes_the_api(client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/v1/rooms", "/api/v1/segments", "/api/v1/rooms/{room}/clip.mp4"} <= set(paths)
    assert not any(path.startswith("/staff") for path in paths)


def test_the_door_notice_leads_to_the_request(client) -> None:
    page = client.get("/notice/228-А")
    assert page.status_code == 200
    assert "https://records.example/request?room=228-a" in page.text
    assert "<svg" in page.text
    assert "понеділок–неділя: 00:00–24:00" in page.text
    assert "Picture and sound are recorded here" in client.get("/notice/108?lang=en").text
    assert client.get("/notice/999").status_code == 404


def test_an_auditor_reads_the_log_by_date_and_room(archive, client) -> None:
    with archive.database.transaction() as session:
        custody.append(
            session,
            custody.Event(
                "view_opened", "user:2", now_us(), "108", "2026-11-20", details={"ground": "audit"}
            ),
            custody.Event("segment_accepted", "agent:x", now_us(), "108", "2026-11-20"),
            custody.Event("view_opened", "user:2", 1, "228-a", "1970-01-01", "=cmd()", {"ground": "hold:7"}),
            custody.Event("request_registered", "request:1", 1, details={"rooms": ["228-a"]}),
        )
    client.log_in("auditor")
    page = client.get("/staff/custody?room=108&footage=2026-11-20").text
    assert "запис відкрито" in page
    assert "підстава:</span> аудит" in page
    assert "частину запису прийнято" not in page
    assert "частину запису прийнято" in client.get("/staff/custody?room=108&machines=1").text
    old = client.get("/staff/custody?date=1970-01-01").text
    assert "заборона знищення 7" in old
    assert "кабінети:</span> 228-А" in old, "as on the door"
    assert ">operator<" in old
    assert client.get("/staff/custody?date=x").status_code == 400


def test_exports_of_the_log_are_whole_and_logged(archive, client) -> None:
    client.log_in("auditor")
    answer = client.get("/staff/custody.csv?machines=1")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert [int(row["sequence"]) for row in rows] == list(range(1, len(rows) + 1))
    assert not any(value.startswith(("=", "@")) for row in rows for value in row.values())
    document = client.get("/staff/custody.json?machines=1").json()
    assert document[-2]["action"] == "log_exported"
    assert document[-1]["action"] == "log_exported"
    for before, after in itertools.pairwise(document):
        assert after["previous_sha256"] == before["sha256"]
    with archive.database.reading() as session:
        assert list(custody.verify(session)) == []


def test_a_long_log_has_pages(archive, client) -> None:
    at_us = now_us()
    with archive.database.transaction() as session:
        custody.append(session, *(custody.Event("view_opened", "system", at_us) for _ in range(150)))
    client.log_in("auditor")
    first = client.get("/staff/custody").text
    older = re.search(r'href="(/staff/custody\?[^"]*before=\d+)"', first)
    assert older
    second = client.get(older[1].replace("&amp;", "&")).text
    numbers = [
        {int(n) for n in re.findall(r'<td class="number" data-label="№">(\d+)</td>', page)}
        for page in (first, second)
    ]
    assert len(numbers[0]) == 100
    assert max(numbers[1]) == min(numbers[0]) - 1


def test_certificates(archive, client) -> None:
    client.log_in("auditor")
    assert "Ще нічого не знищено" in client.get("/staff/certificates").text
    assert client.get("/staff/certificates/1").status_code == 404
    agent = FakeAgent(archive)
    agent.record(now_us() - 3600 * SECOND)
    with archive.database.reading() as session:
        date, due_us = session.execute(select(RoomDay.date, RoomDay.due_us)).one()
    digest = purge.plan(archive, due_us).digest
    assert not purge.run(archive, actor="cli:0", now_us=due_us, confirm=digest).failures
    assert "/staff/certificates/1" in client.get("/staff/certificates").text
    page = client.get("/staff/certificates/1").text
    document = client.get("/staff/certificates/1/document.json").json()
    assert document["sha256"] in page
    assert html.escape(document["signature"]) in page
    assert document["certificate"]["date"] == date
    sheet = client.get("/staff/certificates/1/document.pdf")
    assert (sheet.headers["Content-Type"], sheet.content[:5]) == ("application/pdf", b"%PDF-")
    assert sheet.content == client.get("/staff/certificates/1/document.pdf").content
    log = client.get(f"/staff/custody?footage={date}").text
    assert "знищення засвідчено" in log
    # In words, in the order in which they are read.
    told = re.findall(r'<span class="hint">([^<]+):</span>', log[log.index("запис знищено") :])
    assert told[:5] == ["файлів", "обсяг", "залишено", "годинник", "відбиток плану"]
    assert "заданий вручну" in log


def test_a_defect_shows_a_reference_and_no_secret(archive) -> None:
    def broken_clock() -> int:
        if broken:
            raise ZeroDivisionError(PASSWORD)
        return now_us()

    broken: list[int] = []
    with serving(archive, broken_clock) as url, httpx.Client(base_url=url) as client:
        assert client.get("/readyz").status_code == 200
        broken.append(1)
        answer = client.get("/api/v1/rooms")
        assert answer.status_code == 500
        document = json.loads(answer.text)
        assert document["code"] == "internal_error"
        assert PASSWORD not in answer.text
        assert document["reference"]
