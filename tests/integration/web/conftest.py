"""What most tests of the web application share: one archive a file, served, and those who look at it.

A file whose tests change what others would see, or whose archive is in a state of its own, has an `archive`
of its own; with one that is made anew for each test comes a `url` for each.
"""

from __future__ import annotations

import pytest

from tests.footage import FakeAgent, make_archive
from tests.web import Client, Clock, add_staff, logged_in, serving


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Nothing is recorded in it; one person of each role may log in."""
    made = make_archive(tmp_path_factory.mktemp("web"))
    add_staff(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def agent(archive):
    """The agent of room 108."""
    return FakeAgent(archive)


@pytest.fixture(scope="module")
def clock():
    """What the application takes for now: the real time, until a test sets it, and for the tests after it."""
    return Clock()


@pytest.fixture(scope="module")
def url(archive, clock):
    with serving(archive, clock) as served:
        yield served


@pytest.fixture
def client(url):
    """Somebody who has not logged in."""
    with Client(base_url=url, timeout=30) as made:
        yield made


@pytest.fixture
def operator(url):
    with logged_in(url, "operator") as made:
        yield made


@pytest.fixture
def auditor(url):
    with logged_in(url, "auditor") as made:
        yield made


@pytest.fixture
def admin(url):
    with logged_in(url, "admin") as made:
        yield made
