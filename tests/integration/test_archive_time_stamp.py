"""Time stamps of checkpoints by a real authority: asked, verified, kept, and told when they are wrong."""

from __future__ import annotations

import subprocess

import pytest
import structlog

from archive import checkpoint, custody_check, time_stamp
from archive.checkpoint_service import CheckpointService
from archive.models import CustodyCheckpoint
from recorder.errors import ConfigurationError
from recorder.instants import US_PER_DAY, US_PER_MINUTE, now_us
from tests.attacker import attack
from tests.footage import make_archive
from tests.tsa import make_authority, serving_authority


@pytest.fixture
def authority(tmp_path):
    with serving_authority(tmp_path / "tsa") as made:
        yield made


@pytest.fixture
def archive(tmp_path, authority):
    made = make_archive(tmp_path, tsa_url=authority.url, tsa_certificate_file=authority.root)
    checkpoint.make_checkpoint(made, now_us())
    yield made
    made.close()


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as found:
        yield found


def stamp(archive) -> bytes | None:
    with archive.database.reading() as session:
        return session.get_one(CustodyCheckpoint, 1).time_stamp


def test_a_time_stamp_is_kept_and_openssl_verifies_the_published_files(archive, authority):
    assert time_stamp.stamp_missing(archive) == 1
    assert time_stamp.stamp_missing(archive) == 0
    (response,) = checkpoint.directory(archive.settings).glob("*.tsr")
    assert response.read_bytes() == stamp(archive)
    verify = ["openssl", "ts", "-verify", "-data", response.with_suffix(".json"), "-in", response]
    subprocess.run([*verify, "-CAfile", authority.root], check=True, capture_output=True)
    assert list(custody_check.check(archive)) == []


def test_an_authority_that_is_away_costs_a_later_try(archive, authority, logged):
    authority.mode = "away"
    moment = [now_us()]
    service = CheckpointService(archive, lambda: moment[0])
    service.round()
    assert stamp(archive) is None
    assert [(each["event"], each["log_level"]) for each in logged] == [
        ("time_stamp_authority_away", "warning")
    ]
    assert list(custody_check.check(archive)) == []
    authority.mode = "well"
    moment[0] += US_PER_MINUTE
    service.round()
    assert authority.asked == 0
    moment[0] += 15 * US_PER_MINUTE
    service.round()
    assert stamp(archive) is not None


@pytest.mark.parametrize("wrong", ["nonsense", "replay", "stranger"])
def test_a_wrong_answer_is_refused_with_an_alarm(archive, authority, tmp_path, logged, wrong):
    if wrong == "stranger":
        stranger = make_authority(tmp_path / "stranger")
        authority.root.write_bytes(stranger.root.read_bytes())
    elif wrong == "replay":
        time_stamp.ask(authority.url, b"something else", time_stamp.anchors(archive.settings))
    authority.mode = wrong
    assert time_stamp.stamp_missing(archive) == 0
    assert stamp(archive) is None
    (alarm,) = [each for each in logged if each["event"] == "time_stamp_refused"]
    assert (alarm["log_level"], alarm["alarm"]) == ("critical", True)


def test_a_time_stamp_of_another_checkpoint_is_told(archive, authority):
    checkpoint.make_checkpoint(archive, now_us() + US_PER_DAY)
    time_stamp.stamp_missing(archive)
    attack(
        archive,
        "UPDATE custody_checkpoint SET time_stamp = "
        "(SELECT time_stamp FROM custody_checkpoint WHERE number = 2) WHERE number = 1",
    )
    told = dict(custody_check.check(archive))
    assert "Mismatch" in told["time_stamp"]
    assert "differs from the database" in told["checkpoint"]


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_settings_that_cannot_work_are_refused_at_the_start(tmp_path, content):
    file = tmp_path / "root.pem"
    if content is not None:
        file.write_bytes(content)
    made = make_archive(tmp_path, tsa_url="http://127.0.0.1:9", tsa_certificate_file=file)
    with pytest.raises(ConfigurationError, match="PROTOKOL_TSA_CERTIFICATE_FILE"):
        CheckpointService(made).start()
    made.close()
    made = make_archive(tmp_path, tsa_url="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="root certificate"):
        CheckpointService(made).start()
    made.close()
