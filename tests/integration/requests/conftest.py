"""An archive with a meeting in it, and the services of requests over it."""

from __future__ import annotations

import pytest

from recorder.instants import US_PER_SECOND
from retrieval_api.requests.access import (
    Gate,
)
from retrieval_api.requests.decision import Desk
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.registration import Registrar
from tests.footage import FakeAgent, make_archive
from tests.requesting import at


@pytest.fixture
def archive(tmp_path, database_url):
    made = make_archive(
        tmp_path, database_url=database_url, open_requests_per_contact=2, open_requests_per_address=3
    )
    yield made
    made.close()


@pytest.fixture
def footage(archive):
    """Room 108: ten seconds from 10:30 on, and two from 15:00 on that nobody asks for. Segment ids."""
    agent = FakeAgent(archive)
    meeting = [agent.record(at(10, 30) + number * 2 * US_PER_SECOND) for number in range(5)]
    return meeting, agent.record(at(15))


@pytest.fixture
def secrets(archive):
    return RequestSecrets.of(archive.server_key)


@pytest.fixture
def registrar(archive, secrets):
    return Registrar(archive, secrets)


@pytest.fixture
def desk(archive):
    return Desk(archive)


@pytest.fixture
def gate(archive, secrets):
    return Gate(archive, secrets, wrong_answer_after_s=0)
