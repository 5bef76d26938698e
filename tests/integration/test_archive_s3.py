"""The whole archive on an S3 store, by its settings alone: taken in, found, opened, checked, purged."""

from __future__ import annotations

from datetime import date

import pytest

from archive.check import check
from bench.warm import environment
from recorder.instants import US_PER_MINUTE, format_instant, local_midnight_us
from retention import purge
from tests.footage import SECOND, FakeAgent, make_archive
from tests.processes import protokol, protokol_json
from tests.swift import CREDENTIALS, url_of

HOUR = 60 * US_PER_MINUTE
ZONE = "Europe/Kyiv"
T0 = local_midnight_us(date(2026, 11, 20), ZONE) + 10 * HOUR
DUE = local_midnight_us(date(2026, 12, 20), ZONE)


@pytest.fixture
def installation(swift, tmp_path):
    """A demo archive and the environment in which a command works on it."""
    secret = tmp_path / "s3-secret"
    secret.write_text(f"{CREDENTIALS.access_key_id}:{CREDENTIALS.secret_access_key}\n")
    url = url_of(swift.endpoint, swift.new_bucket(), "council/footage")
    archive = make_archive(tmp_path, store_url=url, s3_credentials_file=secret)
    env = environment(tmp_path, 1, PROTOKOL_STORE_URL=url, PROTOKOL_S3_CREDENTIALS_FILE=str(secret))
    yield archive, env
    archive.close()


def flaws(archive):
    """What is wrong with the objects; the agent's chain is meant to have its holes here."""
    found = check(archive, deep=True)
    return [each for each in found if each.kind in {"missing", "altered", "foreign", "signature", "garbage"}]


def test_footage_goes_in_is_opened_checked_and_purged(installation, swift, tmp_path):
    archive, env = installation
    before = swift.files()
    agent = FakeAgent(archive)
    ids = [agent.record(T0 + number * 2 * SECOND) for number in range(3)]
    refused, body = agent.segment(T0 + 6 * SECOND, body=b"no media at all")
    assert agent.send(refused, body).outcome == "quarantined"
    kept = agent.record(T0 + 24 * HOUR)
    # Five of footage, and the record of the enrolment.
    assert len(swift.files() - before) == 6 * 3
    assert list(tmp_path.glob("uploads/*")) == []

    found = protokol_json(env, "archive", "search", "--room", "108", "--date", "2026-11-20")
    assert [segment["id"] for segment in found["segments"]] == ids
    clip = tmp_path / "clip.mp4"
    span = ("--from", format_instant(T0, ZONE), "--to", format_instant(T0 + 6 * SECOND, ZONE))
    protokol(env, "archive", "export", "--room", "108", *span, "--ground", "audit", "-o", str(clip))
    assert clip.read_bytes()[4:8] == b"ftyp"
    assert flaws(archive) == []

    report = purge.run(archive, actor="cli:0", now_us=DUE, confirm=purge.plan(archive, DUE).digest)
    assert report.failures == []
    (left,) = archive.store.names()
    assert kept in left
    # The one that no day was due for, and the records of the enrolment and of the certificate.
    assert len(swift.files() - before) == 3 * 3
    assert flaws(archive) == []


def test_check_tells_what_is_missing_and_what_is_foreign(installation):
    archive, env = installation
    agent = FakeAgent(archive)
    agent.record(T0)
    (name,) = archive.store.names()
    archive.store.delete([name])
    writer = archive.store.writer("108/2026-11-20/stranger.mp4")
    writer.commit()
    found = protokol_json(env, "archive", "check", expect=1)
    assert sorted(finding["kind"] for finding in found) == ["foreign", "missing"]


def test_no_secret_is_in_what_a_command_says(installation):
    _, env = installation
    url = env["PROTOKOL_STORE_URL"].replace("s3://", "s3://somebody:hush-hush@")
    said = protokol({**env, "PROTOKOL_STORE_URL": url}, "archive", "check", expect=2).stderr
    assert "PROTOKOL_S3_CREDENTIALS_FILE" in said
    assert "hush-hush" not in said
