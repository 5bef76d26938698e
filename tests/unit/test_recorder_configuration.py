from __future__ import annotations

import pytest

from recorder.configuration import ConfigurationStore
from recorder.errors import ConfigurationError
from recorder.intervals import Interval
from tests.integration.ingest_double import IngestDouble, configuration

URL = "rtsp://127.0.0.1:9/x"


@pytest.fixture
def server(tmp_path):
    return IngestDouble(tmp_path, configuration(URL), port=1)


def answer(server, version=1, held=()):
    server.configuration = configuration(URL, version=version)
    return {
        **server.signed_configuration().model_dump(),
        "held": [list(pair) for pair in held],
        "server_us": 5,
    }


def test_the_last_good_one_survives_a_restart(server, tmp_path):
    key = server.agent_key()
    store = ConfigurationStore(tmp_path / "kept.json", key)
    assert store.current.version == 1
    assert store.accept(answer(server, 2, [(10, 20)]))
    assert not store.accept(answer(server, 2, [(10, 20)]))
    again = ConfigurationStore(tmp_path / "kept.json", key)
    assert again.current.version == 2
    assert again.held == [Interval(10, 20)]


def test_an_older_version_is_not_taken_but_its_holds_are(server, tmp_path):
    store = ConfigurationStore(tmp_path / "kept.json", server.agent_key())
    store.accept(answer(server, 3))
    assert not store.accept(answer(server, 2, [(1, 2)]))
    assert store.current.version == 3
    assert store.held == [Interval(1, 2)]


@pytest.mark.parametrize(
    "document",
    [{}, {"configuration": "{}", "signature": ""}, {"configuration": 5, "signature": "", "held": []}],
)
def test_rubbish_changes_nothing(server, tmp_path, document):
    store = ConfigurationStore(tmp_path / "kept.json", server.agent_key())
    with pytest.raises(ConfigurationError):
        store.accept(document)
    assert store.current.version == 1
    assert not (tmp_path / "kept.json").exists()


def test_another_rooms_configuration_is_refused(server, tmp_path):
    store = ConfigurationStore(tmp_path / "kept.json", server.agent_key())
    other = configuration(URL, version=2, id="116", label="116")
    server.configuration = other
    with pytest.raises(ConfigurationError, match="of room 116, not 108"):
        store.accept({**server.signed_configuration().model_dump(), "held": [], "server_us": 1})


def test_a_kept_file_that_is_damaged_falls_back_to_the_key_files(server, tmp_path):
    (tmp_path / "kept.json").write_text("{")
    assert ConfigurationStore(tmp_path / "kept.json", server.agent_key()).current.version == 1
