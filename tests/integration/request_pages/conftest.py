"""A served archive with a meeting in it, and the two who talk about it."""

from __future__ import annotations

import shutil

import pytest

from recorder.instants import US_PER_SECOND
from tests.footage import FakeAgent, make_archive
from tests.integration.request_pages.site import NOW
from tests.requesting import at
from tests.web import Client, Clock, add_staff, logged_in, serving


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """An archive's directory with staff and twelve seconds of room 108: made once, copied for each test."""
    directory = tmp_path_factory.mktemp("template")
    made = make_archive(directory)
    add_staff(made)
    agent = FakeAgent(made)
    for number in range(6):
        agent.record(at(10, 30) + number * 2 * US_PER_SECOND)
    made.close()
    return directory


@pytest.fixture
def archive(tmp_path, template):
    shutil.copytree(template, tmp_path / "data")
    made = make_archive(tmp_path / "data", public_url="https://protokol.example")
    yield made
    made.close()


@pytest.fixture
def clock():
    clock = Clock()
    clock.set_us = NOW
    return clock


@pytest.fixture
def url(archive, clock):
    with serving(archive, clock) as served:
        yield served


@pytest.fixture
def resident(url):
    with Client(base_url=url, follow_redirects=True) as made:
        yield made


@pytest.fixture
def operator(url):
    with logged_in(url, "operator", follow_redirects=True) as made:
        yield made
