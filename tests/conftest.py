"""What every test relies on."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from hypothesis import settings
from playwright.sync_api import sync_playwright

from tests.chromium import CHROMIUM, FLAGS
from tests.footage import make_archive
from tests.hashing import cheapen
from tests.postgresql import private_server
from tests.swift import Swift, require_swift

# A deadline per example measures the load of the machine, not the code under test.
settings.register_profile("searching", deadline=None, print_blob=True)
settings.register_profile("repeating", deadline=None, derandomize=True)
settings.load_profile("searching")


cheapen()

# Modules that record in real time, against the clocks of simulated cameras and microphones.
_LIVE = re.compile(
    r"test_(agent|fault_matrix|first_light|health|kill|long_outage|microphone|onvif_agent|partition|simulator_rtsp"
    r"|sync|viewers)"
)
# Players and browsers show pictures in real time too, beside what keeps the processors busy.
_SHOWN = re.compile(r"test_mp4_players")


def pytest_configure(config):
    """`make test` says the same of the same code; `make test-all`, and who runs some tests, search on."""
    if "not slow" in config.option.markexpr:
        settings.load_profile("repeating")


def pytest_collection_modifyitems(items):
    """What runs against a real clock is played once more if it fails, and told as RERUN: two shared cores
    that stand still for a third of a second lose sound, rightly. Nothing else gets a second try.
    """
    for item in items:
        if live := _LIVE.match(item.path.name):
            item.add_marker(pytest.mark.live)
        if live or _SHOWN.match(item.path.name) or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_generate_tests(metafunc):
    """What is marked `both_databases` runs on SQLite and on PostgreSQL (with `slow=True`, on the latter among
    the slow tests); everything else that uses a database, on SQLite.
    """
    if "database_url" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_databases")
        kinds: list[object] = ["sqlite"]
        if both is not None:
            marks = [pytest.mark.slow] if both.kwargs.get("slow") else []
            kinds.append(pytest.param("postgresql", marks=marks))
        metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture(scope="session")
def postgresql():
    """A private PostgreSQL server, one a pytest process."""
    with private_server() as server:
        yield server


@pytest.fixture
def database_url(request, tmp_path):
    """A database of the test's own: in `tmp_path` on SQLite, migrated already on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'archive.sqlite'}"
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield url


@pytest.fixture
def archive(tmp_path, database_url):
    """A fresh demo archive of its own, with the rooms of tests.footage in force."""
    archive = make_archive(tmp_path, database_url=database_url)
    yield archive
    archive.close()


@pytest.fixture(scope="session")
def browser():
    """One Chromium a worker: a process can drive Playwright's loop only once at a time."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 4 MiB that a test may fill; needs root, and says so where there is none."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    directory = tmp_path / "tiny"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


@pytest.fixture(scope="session")
def swift(tmp_path_factory):
    """One S3 store a worker, up in 3 s; a bucket of its own for each test that wants one."""
    directory = tmp_path_factory.mktemp("swift")
    require_swift(directory)
    swift = Swift(directory)
    yield swift
    swift.close()
