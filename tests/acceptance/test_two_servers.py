"""Two `protokol serve` behind one address, on one PostgreSQL and one store: either may die under load."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
from sqlalchemy import func, select

from archive.check import check, custody_findings
from archive.enrolment import enroll
from archive.master_key import make_master_key
from archive.models import Certificate, CustodyCheckpoint, CustodyEvent, Segment, Tombstone
from archive.system import Archive
from bench.shipping import Client, Wire
from bench.spools import make_media
from bench.warm import WarmServer, environment
from recorder.instants import US_PER_SECOND, local_date, now_us
from recorder.manifest import SignedManifest
from recorder.settings import Settings
from tests.balancer import Balancer
from tests.footage import SECOND, FakeAgent
from tests.processes import free_port, wait_for
from tests.swift import CREDENTIALS, url_of

DAY = timedelta(days=1) // timedelta(microseconds=1)
ROOMS = ("201", "202", "203", "204")
_SEGMENT_S = 2
_SPOOLED = 4
_PATIENCE_S = 120
_ROOMS_FILE = """\
council: {name: {uk: Рада, en: Council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-sun: ["00:00-24:00"]
rooms:
""" + "".join(
    f'  - {{id: "{room}", label: "{room}", floor: 1, cameras: [{{name: main, url: "rtsp://127.0.0.1:9/"}}]}}\n'
    for room in ("108", *ROOMS)
)


class Council:
    """An archive, two servers of it, and four rooms' hosts that know one address."""

    def __init__(self, directory: Path, index_url: str, keys_url: str, **store: str) -> None:
        ports = [free_port(), free_port()]
        self.balancer = Balancer(ports)
        (directory / "rooms.yaml").write_text(_ROOMS_FILE, "utf-8")
        make_master_key(directory / "master.key")
        shared = {
            "database_url": index_url,
            "keys_url": keys_url,
            "rooms_file": str(directory / "rooms.yaml"),
            "server_key_file": str(directory / "server.key"),
            "master_key_file": str(directory / "master.key"),
            "server_url": f"http://127.0.0.1:{self.balancer.port}",
            **store,
        }
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.data = [directory / "first", directory / "second"]
        self.archive = Archive.open(
            Settings(data_dir=directory / "clerk", **shared),  # type: ignore[arg-type]
            migrate=True,
        )
        self._environments = []
        for data, port, url in zip(self.data, ports, self.urls, strict=True):
            data.mkdir()
            more = {f"PROTOKOL_{name.upper()}": value for name, value in shared.items()}
            # A server is asked whether it is ready at its own address.
            env = environment(data, port, **{**more, "PROTOKOL_SERVER_URL": url, "PROTOKOL_DEMO": "false"})
            self._environments.append(env)
        self._servers: dict[int, WarmServer] = {}
        self._log = directory / "servers.log"
        media = [make_media(directory / f"{mb}.mp4", _SEGMENT_S, mb) for mb in (0.1, 0.4)]
        self.wire = Wire()
        first_us = now_us() - DAY // 2
        self.clients = [
            Client(
                directory / f"spool-{room}",
                enroll(self.archive, room, "cli:0", first_us),
                self.wire,
                media,
                first_us=first_us,
                segment_us=_SEGMENT_S * US_PER_SECOND,
            )
            for room in ROOMS
        ]
        self.agent = FakeAgent(self.archive, enrolled_us=0)
        # Due since days, and not the greater part of the archive.
        old_us = now_us() - 40 * DAY
        self.agent.record(old_us)
        self.old_date = local_date(old_us, "Europe/Kyiv").isoformat()
        self._next_us = now_us() - DAY
        for _ in range(3):
            self.agent.send(*self.next_of_108())

    def next_of_108(self) -> tuple[SignedManifest, bytes]:
        """A new segment of a fifth room, as its host would send it."""
        self._next_us += _SEGMENT_S * SECOND
        return self.agent.segment(self._next_us - _SEGMENT_S * SECOND, _SEGMENT_S)

    def start(self, number: int) -> None:
        self._servers[number] = WarmServer(self._environments[number], self._log)

    def wait_ready(self) -> None:
        for server in self._servers.values():
            server.wait_until_ready()

    def kill9(self, number: int) -> None:
        self._servers.pop(number).kill9()

    def ship(self, count: int) -> None:
        """Returns when so many more segments are acknowledged; the agents go on."""
        until = len(self.wire.acknowledged) + count

        def reached() -> bool:
            for client in self.clients:
                client.fill(_SPOOLED)
            return len(self.wire.acknowledged) >= until

        wait_for(reached, _PATIENCE_S, f"{count} more segments acknowledged")

    def finish(self) -> None:
        """Returns when no room's host has anything left."""

        def emptied() -> bool:
            return not any(client.waiting for client in self.clients)

        wait_for(emptied, _PATIENCE_S, "the spools are emptied")

    def close(self) -> None:
        self.wire.connect()
        for client in self.clients:
            client.shipper.stop()
        for number in list(self._servers):
            self.kill9(number)
        self.balancer.close()
        self.archive.close()

    # --- what must hold ---

    def assert_nothing_lost_nothing_double(self) -> None:
        made = sum(client.made for client in self.clients)
        assert {"quarantined", "expired"}.isdisjoint(self.wire.other_outcomes)
        with self.archive.database.reading() as session:
            of_clients = Segment.room.in_(ROOMS)
            rows = dict(session.execute(select(Segment.id, Segment.file_sha256).where(of_clients)).all())
            accepted = select(func.count()).where(
                CustodyEvent.action == "segment_accepted", CustodyEvent.room.in_(ROOMS)
            )
            events = session.scalar(accepted)
        assert rows == self.wire.acknowledged
        assert made == len(rows) == events

    def assert_sound(self) -> None:
        """What `archive check` finds on either server's host."""
        first, second = (
            replace(self.archive, settings=self.archive.settings.model_copy(update={"data_dir": data}))
            for data in self.data
        )
        assert list(check(first, deep=True)) == []
        assert list(custody_findings(second)) == []

    def assert_clocks_did_no_harm(self) -> None:
        """Both servers have purged and signed at their start: each day once, the same file on both."""
        with self.archive.database.reading() as session:
            dates = session.scalars(select(CustodyCheckpoint.date)).all()
            purged = session.scalars(select(Tombstone.date)).all()
            certificates = session.scalar(select(func.count()).select_from(Certificate))
        assert len(dates) == len(set(dates)) > 0
        assert (purged, certificates) == ([self.old_date], 1)
        names = {f"{date}.json" for date in dates}
        for data in self.data:
            there = data / "checkpoints"
            # Around midnight the other's file of the new day comes within a minute.
            wait_for(lambda there=there: names <= {path.name for path in there.iterdir()}, 90, "published")
        for name in names:
            first, second = ((data / "checkpoints" / name).read_bytes() for data in self.data)
            assert first == second


@contextlib.contextmanager
def council(directory, postgresql, **store):
    with postgresql.database() as index_url, postgresql.database(migrated=False) as keys_url:
        made = Council(directory, index_url, keys_url, **store)
        try:
            yield made
        finally:
            made.close()


def send_to_both(council, count):
    """The same new segments to both servers at the same time; the pairs of answers' statuses."""
    statuses = []
    with (
        ThreadPoolExecutor(2) as threads,
        httpx.Client(timeout=60) as first,
        httpx.Client(timeout=60) as second,
    ):
        for _ in range(count):
            signed, body = council.next_of_108()
            path = f"/ingest/v1/rooms/108/segments/{signed.manifest.segment_id}"
            headers = {
                "Authorization": f"Bearer {council.agent.key.token}",
                "Protokol-Manifest": signed.header,
            }
            together = threading.Barrier(2)

            def put(client, url, path=path, body=body, headers=headers, together=together):
                together.wait()
                answer = client.put(url + path, content=body, headers=headers)
                return answer.status_code, answer.json()["outcome"]

            sent = [
                threads.submit(put, client, url)
                for client, url in zip((first, second), council.urls, strict=True)
            ]
            statuses.append(sorted(each.result() for each in sent))
    return statuses


def live_through(council, segments, mishap=None):
    """Both servers die once under load, and what `mishap` does happens under load too."""
    council.start(0)
    council.start(1)
    council.wait_ready()
    council.wire.connect()
    for client in council.clients:
        client.shipper.start()
    council.ship(segments)
    assert all(council.balancer.passed.values())
    council.kill9(0)
    council.ship(segments)
    council.start(0)
    council.wait_ready()
    assert send_to_both(council, 4) == [[(200, "accepted"), (201, "accepted")]] * 4
    if mishap is not None:
        mishap()
        council.ship(segments)
    council.kill9(1)
    council.ship(segments)
    council.start(1)
    council.wait_ready()
    council.finish()
    council.assert_nothing_lost_nothing_double()
    council.assert_clocks_did_no_harm()
    council.assert_sound()


def test_either_server_may_die(postgresql, tmp_path):
    store = {"store_url": str(tmp_path / "footage")}
    with council(tmp_path, postgresql, **store) as made:
        live_through(made, 12)


def test_either_server_and_a_daemon_of_the_store_may_die(postgresql, swift, tmp_path):
    secret = tmp_path / "s3-secret"
    secret.write_text(f"{CREDENTIALS.access_key_id}:{CREDENTIALS.secret_access_key}\n")
    url = url_of(swift.endpoint, swift.new_bucket(), "council")
    settings = {"store_url": url, "s3_credentials_file": str(secret)}
    with contextlib.ExitStack() as after, council(tmp_path, postgresql, **settings) as made:

        def mishap():
            swift.kill("object2")
            after.callback(swift.wait_ready)
            after.callback(swift.start, "object2")

        live_through(made, 8, mishap)
