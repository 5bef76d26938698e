"""What staff and everybody see of a day whose footage lies in S3 (Swift) and its index in PostgreSQL."""

from __future__ import annotations

import io
import json
import re
from datetime import date
from urllib.parse import quote

import av
import pytest
from sqlalchemy import select

from archive import day_figures, viewing
from archive.models import CustodyEvent
from recorder.instants import US_PER_DAY, format_instant, local_midnight_us
from recorder.intervals import Interval
from retention import holds
from tests.footage import SECOND, FakeAgent, make_archive
from tests.swift import CREDENTIALS, url_of
from tests.thumbnails import derive_now
from tests.web import Client, Clock, add_staff, serving

ZONE = "Europe/Kyiv"
DAY = date(2026, 11, 20)
T0 = local_midnight_us(DAY, ZONE) + 10 * 3600 * SECOND
ROOM = "/api/v1/rooms/108"


@pytest.fixture
def archive(tmp_path, postgresql, swift):
    secret = tmp_path / "s3-secret"
    secret.write_text(f"{CREDENTIALS.access_key_id}:{CREDENTIALS.secret_access_key}\n")
    url = url_of(swift.endpoint, swift.new_bucket(), "council/footage")
    # A council's, so that what is read is sealed.
    with postgresql.database() as database_url:
        made = make_archive(
            tmp_path, database_url=database_url, store_url=url, s3_credentials_file=secret, demo=False
        )
        yield made
        made.close()


def parts(playlist: str) -> list[str]:
    init = re.search(r'EXT-X-MAP:URI="([^"]+)"', playlist)
    assert init, playlist
    names = [line for line in playlist.splitlines() if line.startswith("media/")]
    return [f"{ROOM}/{name}" for name in (init[1], *names)]


def pictures_in(client: Client, playlist: str) -> int:
    data = b"".join(client.get(each).content for each in parts(playlist))
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_day_is_watched_held_counted_and_told(archive) -> None:
    clock = Clock()
    clock.set_us = T0 + US_PER_DAY
    add_staff(archive)
    agent = FakeAgent(archive)
    segments = [agent.record(T0 + number * 2 * SECOND) for number in range(3)]
    assert agent.send(agent.gap(T0 + 6 * SECOND, T0 + 9 * SECOND)).outcome == "accepted"
    for segment in segments:
        derive_now(archive, segment)
    order = holds.HoldOrder("108", Interval(T0, T0 + 2 * SECOND), "a complaint", "order 1", "user:3")
    with archive.database.transaction() as session:
        hold = holds.place(session, archive, [order], clock())[0].id
    day_figures.settle(archive, clock())
    playlist = f"{ROOM}/day.m3u8?date={DAY}&ground="
    picture = f"{ROOM}/thumbnail.jpg?at={quote(format_instant(T0 + 3 * SECOND, ZONE))}&ground="
    with serving(archive, clock) as url, Client(base_url=url, timeout=60) as client:
        client.log_in("admin")
        whole = client.get(f"{playlist}fault_check")
        assert pictures_in(client, whole.text) == 150
        held = client.get(f"{playlist}hold:{hold}")
        assert pictures_in(client, held.text) == 50
        assert client.get(f"{picture}fault_check").content.startswith(b"\xff\xd8\xff")
        assert client.get(f"{picture}hold:{hold}").json()["code"] == "outside_purpose"
        assert 42 in client.get(f"{ROOM}/loudness?date={DAY}").json()["values"]

        facts = client.get(f"/staff/rooms/108/day.json?date={DAY}").json()
        assert [each["start_us"] for each in facts["recorded"]] == [T0]
        assert facts["holds"][0]["id"] == hold
        assert "камера не відповідала" in client.get(f"/staff/rooms/108/day?date={DAY}").text
        told = client.get(f"{ROOM}/month?month=2026-11").json()["days"]
        [counted] = [each for each in told if each["date"] == DAY.isoformat()]
        assert (counted["recorded_us"], counted["holds"]) == (6 * SECOND, 1)
        assert "1 заборона знищення" in client.get("/staff/month?month=2026-11").text
        figures = client.get("/figures.json").json()["months"][0]
        [room] = [each for each in figures["rooms"] if each["room"] == "108"]
        assert room["recorded_s"] == 6
        assert "108" in client.get("/figures").text
        assert 'id="tile-108"' in client.get("/staff/board").text
        with client.stream("GET", "/staff/board/events") as stream:
            assert "event: board" in stream.iter_lines()

        # Past the due midnight what is held opens on its own ground alone.
        clock.forward(40 * US_PER_DAY)
        client.log_in("admin")
        assert client.get(f"{playlist}fault_check").json()["reason"] == "expired"
        assert client.get(parts(whole.text)[1]).json()["reason"] == "expired"
        assert pictures_in(client, client.get(f"{playlist}hold:{hold}").text) == 50
    viewing.close_idle(archive, clock(), everything=True)
    with archive.database.reading() as session:
        events = session.scalars(select(CustodyEvent).where(CustodyEvent.action == "view_opened")).all()
    grounds = [json.loads(each.details)["ground"] for each in events]
    assert grounds == ["fault_check", f"hold:{hold}", f"hold:{hold}"]
