"""What the resident receives: exactly the approved interval."""

from __future__ import annotations

import io
from datetime import date

import av

from archive import door
from archive.door import Ground
from archive.models import Viewing
from archive.mp4.virtual import build
from recorder.instants import US_PER_MINUTE, parse_instant
from recorder.intervals import Interval
from tests.integration.request_pages.site import DUE, NOW, approve, log_in, register, rows_of
from tests.requesting import at, purge_at
from tests.web import Client


def exact_etag(archive, number: str) -> str:
    """Of the file that holds not a byte of media from outside the approved six seconds."""
    interval = Interval(at(10, 30, 2), at(10, 30, 8))
    with archive.database.reading() as session:
        ground = Ground("request", number)
        pieces = door.resolve(session, archive.configurations, archive.store, "108", interval, ground, NOW)
    return build(pieces, interval, exact=True).etag


def test_the_resident_receives_exactly_the_approved_interval(resident, operator, archive, clock) -> None:
    number, pin = register(resident)
    log_in(resident, number, pin)
    assert resident.get("/my/recording.mp4").status_code == 404, "before the decision"
    approve(operator, number)
    mine = resident.get("/my").text
    assert "10:30:02" in mine
    assert "10:30:08" in mine

    whole = resident.get("/my/recording.mp4?download=1")
    assert whole.status_code == 200
    assert whole.headers["Content-Disposition"].startswith("attachment")
    start, end = (parse_instant(whole.headers[f"Protokol-{name}"]) for name in ("Start", "End"))
    assert at(10, 30, 2) <= start < end <= at(10, 30, 8)
    with av.open(io.BytesIO(whole.content)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == 6 * 25, "six seconds at 25 frames, cut on keyframes that begin each second"
    assert whole.headers["ETag"] == exact_etag(archive, number)
    part = resident.get("/my/recording.mp4", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert resident.head("/my/recording.mp4").headers["ETag"] == whole.headers["ETag"]
    unchanged = resident.get("/my/recording.mp4", headers={"If-None-Match": whole.headers["ETag"]})
    assert unchanged.status_code == 304
    assert operator.get(f"/staff/requests/{number}/released.mp4").content == whole.content

    opened = [
        (row.actor, row.ground) for row in rows_of(archive, Viewing) if row.actor == f"request:{number}"
    ]
    assert opened == [(f"request:{number}", f"request:{number}")], "many requests, one viewing"
    assert "Ви" in resident.get("/my").text


def test_nobody_else_receives_it(url, resident, operator) -> None:
    number, _ = register(resident)
    approve(operator, number)
    with Client(base_url=url, follow_redirects=True) as other:
        assert other.get("/my/recording.mp4").status_code == 401
        log_in(other, *register(other, phone="050 000 00 00"))
        assert other.get("/my/recording.mp4").status_code == 404


def test_it_opens_past_the_due_midnight_for_its_request_only(url, resident, operator, archive, clock) -> None:
    number, pin = register(resident)
    approve(operator, number)
    clock.set_us = DUE + US_PER_MINUTE
    purge_at(archive, clock())
    log_in(resident, number, pin)
    whole = resident.get("/my/recording.mp4")
    assert whole.status_code == 200
    with av.open(io.BytesIO(whole.content)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6 * 25
    operator.log_in("operator")
    clip = "/api/v1/rooms/108/clip.mp4?from=2026-11-20T10:30:02%2B02:00&to=2026-11-20T10:30:08%2B02:00"
    assert operator.get(f"{clip}&ground=fault_check").status_code == 404
    page = f"/staff/requests/{number}"
    assert operator.form(page, f"{page}/close", reason="отримано").status_code == 200
    assert resident.get("/my/recording.mp4").status_code == 404
    assert "Розгляд завершено" in resident.get("/my").text


def test_access_ends_when_the_link_does(resident, operator, clock) -> None:
    number, pin = register(resident)
    approve(operator, number)
    clock.set_us = at(0, day=date(2026, 12, 24))
    log_in(resident, number, pin)
    assert resident.get("/my/recording.mp4").status_code == 404
    assert "Строк перегляду минув 23.12.2026" in resident.get("/my").text
