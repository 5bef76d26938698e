"""Every call to the disk of an acceptance, failing once: a real server acknowledges nothing that it has not
made durable, and what was acknowledged is whole.
"""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest

from archive.check import check
from bench.warm import environment
from recorder.instants import now_us
from tests.footage import ROOMS, SECOND
from tests.processes import free_port, server
from tests.remote_agent import RemoteAgent
from tests.tracing import traced

pytestmark = pytest.mark.root

# More than an acceptance makes on one thread; each call's first that is not reached ends its test.
AT_MOST = 40
# A failure of one of these must be an answer that is not terminal. (A checkpoint's may fail: it is
# tried again, and nothing rests on it until it has succeeded.)
PROMISED = re.compile(
    r"f(data)?sync\(\d+<[^>]*/(\.incoming-[^>]*|archive\.sqlite-wal|\d{4}-\d\d-\d\d)>|rename"
)


class Installation:
    """A server that is started again, as systemd does it, when it has ended by itself."""

    def __init__(self, directory, stack):
        (directory / "rooms.yaml").write_text(ROOMS, "utf-8")
        self.env = environment(directory, free_port())
        self.remote = RemoteAgent(directory, self.env)
        self._stack, self._log = stack, directory / "log"
        self.ends = 0
        self._start()

    def _start(self):
        self.process = self._stack.enter_context(server(self.env, self._log))

    def start_again_if_ended(self, *, expected):
        if expected:
            self.process.popen.wait(20)
        if self.process.popen.poll() is not None:
            self.ends += 1
            assert self.process.popen.returncode == 2, self.process.said()
            assert "database_sync_failed" in self.process.said()
            self._start()


@pytest.mark.parametrize(
    "call",
    [
        "fsync",
        "fdatasync",
        *(pytest.param(call, marks=pytest.mark.slow) for call in ("pwrite64", "rename", "mkdir")),
    ],
)
def test_an_error_at_the_nth_call_acknowledges_nothing_that_is_not_durable(tmp_path, call):
    begin_us = now_us() - 3600 * SECOND
    reached = 0
    with ExitStack() as stack:
        installation = Installation(tmp_path, stack)
        agent = installation.remote.agent
        installation.remote.archive.database.dispose()
        for n in range(1, AT_MOST):
            signed, body = agent.segment(begin_us + 2 * n * SECOND)
            path = tmp_path / f"trace-{n}"
            inject = f"inject={call}:error=EIO:when={n}"
            with traced(installation.process.popen.pid, path, call, inject) as trace:
                outcome = installation.remote.outcome(signed, body)
            failed = trace.injected()
            if any(PROMISED.match(each) for each in failed):
                assert outcome != "accepted", failed
            wal = any("sync(" in each and "archive.sqlite-wal>" in each for each in failed)
            installation.start_again_if_ended(expected=wal)
            assert installation.remote.outcome(signed, body) == "accepted", (failed, outcome)
            assert list(check(installation.remote.archive, deep=True)) == []
            # The server's connections are the only ones: a next one recovers what an end has left.
            installation.remote.archive.database.dispose()
            reached += bool(failed)
            if not failed:
                break
        else:
            pytest.fail(f"{call} never stopped failing")
    # One for each call of an acceptance, at least; mkdir only on the first of a day.
    assert reached >= 1
    assert list((tmp_path / "footage").rglob(".incoming-*")) == []
    installation.remote.archive.close()
