from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.errors import ConfigurationError
from recorder.keyfile import AgentKey, SignedConfiguration
from recorder.manifest import enrolment_of

KEY = Ed25519PrivateKey.generate()
SERVER = Ed25519PrivateKey.generate()


def text_of(raw):
    return base64.b64encode(raw).decode()


def agent_key(**changes):
    content = {
        "room": "108",
        "enrolment": enrolment_of(KEY.public_key()),
        "private_key": text_of(KEY.private_bytes_raw()),
        "token": "a-token-of-this-room",
        "server_url": "https://protokol.example/",
        "server_public_key": text_of(SERVER.public_key().public_bytes_raw()),
        "configuration": {"configuration": "{}", "signature": text_of(SERVER.sign(b"{}"))},
    }
    return {**content, **changes}


def write(path, content):
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return path


def test_what_is_written_is_read_back_and_never_overwritten(tmp_path):
    key = AgentKey.model_validate(agent_key())
    path = tmp_path / "agent.key"
    key.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert AgentKey.load(path) == key
    assert key.server_url == "https://protokol.example"
    assert key.signing_key().public_key() == KEY.public_key()
    with pytest.raises(ConfigurationError, match="exists already"):
        key.write(path)


def test_secrets_are_in_no_representation():
    key = AgentKey.model_validate(agent_key())
    assert key.private_key not in repr(key)
    assert key.token not in repr(key)


def test_a_file_that_others_may_read_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "agent.key", agent_key())
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        AgentKey.load(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert AgentKey.load(path).room == "108"


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigurationError, match="protokol agent enroll"):
        AgentKey.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"private_key": "rubbish"}, "private_key"),
        ({"private_key": text_of(bytes(31))}, "31 bytes"),
        ({"enrolment": "0" * 16}, "does not belong"),
        ({"server_url": "ftp://x"}, "https://"),
        ({"room": "Кімната"}, "room"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_key_and_no_secret(tmp_path, changes, said):
    path = write(tmp_path / "agent.key", agent_key(**changes))
    with pytest.raises(ConfigurationError, match=said) as caught:
        AgentKey.load(path)
    assert agent_key()["private_key"] not in str(caught.value)
    assert agent_key()["token"] not in str(caught.value)


def test_only_the_servers_own_signature_is_believed():
    signed = SignedConfiguration(configuration="{}", signature=text_of(SERVER.sign(b"{}")))
    signed.verify(SERVER.public_key())
    for wrong in (
        SignedConfiguration(configuration="{ }", signature=signed.signature),
        SignedConfiguration(configuration="{}", signature="###"),
        SignedConfiguration(configuration="{}", signature=text_of(KEY.sign(b"{}"))),
    ):
        with pytest.raises(ConfigurationError, match="not signed by the server"):
            wrong.verify(SERVER.public_key())
