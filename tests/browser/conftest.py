"""A real server process with a morning of footage in it, and headless Chromium to look at it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser
from sqlalchemy import func, select

from archive.models import Certificate
from archive.system import Archive
from bench.warm import environment
from recorder.instants import US_PER_DAY, US_PER_MINUTE, US_PER_SECOND, now_us
from tests.browser.looking import DESKTOP, PHONE
from tests.footage import FakeAgent, make_archive
from tests.processes import free_port, server, wait_for
from tests.web import add_staff


@dataclass
class Site:
    """A served archive. Room 108 has footage `[start_us, end_us)` with a gap after it; 228-А is silent."""

    url: str
    archive: Archive
    start_us: int
    end_us: int


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """One server process for all browser tests of a worker; each test uses rooms and times of its own."""
    directory = tmp_path_factory.mktemp("site")
    archive = make_archive(directory)
    add_staff(archive)
    agent = FakeAgent(archive)
    # Past its time already: the server destroys and certifies it as soon as it runs.
    agent.record(now_us() - 40 * US_PER_DAY)
    start_us = (now_us() - 20 * US_PER_MINUTE) // US_PER_SECOND * US_PER_SECOND
    for number in range(15):
        agent.record(start_us + number * 2 * US_PER_SECOND)
    end_us = start_us + 30 * US_PER_SECOND
    gap = agent.gap(end_us, end_us + 4 * US_PER_MINUTE)
    assert agent.send(gap).outcome == "accepted"
    port = free_port()
    env = environment(directory, port)
    with server(env, directory / "server.log") as process:
        wait_for(lambda: _certificates(archive), 20, "what was due is destroyed")
        yield Site(env["PROTOKOL_SERVER_URL"], archive, start_us, end_us)
        assert process.terminate() == 0, process.said()
    archive.close()


def _certificates(archive: Archive) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Certificate)) or 0


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request, browser: Browser, site: Site):
    """A fresh browser profile on the site, once wide and once on a phone."""
    context = browser.new_context(viewport=request.param, base_url=site.url, locale="uk-UA")
    context.set_default_timeout(15_000)
    opened = context.new_page()
    yield opened
    context.close()
