from __future__ import annotations

import json
import threading

import pytest
import structlog

from recorder import logging


@pytest.fixture
def configured(capsys):
    before = structlog.get_config()
    logging.configure_logging(json=True)
    yield capsys
    logging._BOUND.clear()
    structlog.configure(**before)


def test_secrets_are_redacted_wherever_they_stand(configured):
    log = logging.get_logger(source="main")
    log.info(
        "opened", url="rtsp://user:secret@cam/x", token="secret", error=ValueError("at http://a:secret@b")
    )
    said = configured.readouterr().err
    assert "secret" not in said
    assert json.loads(said)["url"] == "rtsp://***@cam/x"


def test_what_is_bound_stands_on_the_lines_of_every_thread(configured):
    logging.bind(room="108")
    thread = threading.Thread(target=lambda: logging.get_logger().warning("from a thread"))
    thread.start()
    thread.join()
    line = json.loads(configured.readouterr().err)
    assert (line["room"], line["level"], line["event"]) == ("108", "warning", "from a thread")
    assert line["timestamp"].endswith("Z")


def test_people_get_key_value_lines(configured):
    logging.configure_logging()
    logging.get_logger().info("run begins", run="7")
    assert configured.readouterr().err.endswith('event="run begins" run=7\n')
