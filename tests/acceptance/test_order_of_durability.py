"""Invariant 2 as the kernel sees it: what a real server does before it answers that it has a segment."""

from __future__ import annotations

import re

import pytest

from bench.warm import environment
from recorder.instants import now_us
from tests.footage import ROOMS, SECOND
from tests.processes import free_port, server
from tests.remote_agent import RemoteAgent
from tests.tracing import traced

CALLS = "mkdir,fsync,fdatasync,rename,pwrite64,sendto"
# In this order, each once it is done; `{…}` is the segment's own.
STEPS = {
    "the directory is made": r'mkdir\("[^"]*/footage/108/{date}", 0700\) = 0',
    "its name is durable": r"fsync\(\d+<[^>]*/footage/108>\) += 0",
    "the file is durable": r"fsync\(\d+<[^>]*/{date}/\.incoming-[^>]*>\) += 0",
    "it gets its name": r'rename\("[^"]*/\.incoming-[^"]*", "[^"]*/{segment}-[0-9a-f]{{16}}\.mp4"\) = 0',
    "the name is durable": r"fsync\(\d+<[^>]*/footage/108/{date}>\) += 0",
    "the rows are written": r"pwrite64\(\d+<[^>]*/archive\.sqlite-wal>.*",
    "the rows are durable": r"f(data)?sync\(\d+<[^>]*/archive\.sqlite-wal>\) += 0",
    "the agent is told": r'sendto\(\d+<[^>]*>, "HTTP/1\.1 201 .*',
}


@pytest.mark.root
def test_fsync_rename_fsync_commit_reply(tmp_path):
    (tmp_path / "rooms.yaml").write_text(ROOMS, "utf-8")
    env = environment(tmp_path, free_port())
    remote = RemoteAgent(tmp_path, env)
    signed, body = remote.agent.segment(now_us() - 10 * SECOND)
    with (
        server(env, tmp_path / "log") as process,
        traced(process.popen.pid, tmp_path / "trace", CALLS) as trace,
    ):
        assert remote.put(signed, body).status_code == 201
    [stored] = remote.archive.store.names()
    remote.archive.close()
    words = {"date": stored.split("/")[1], "segment": signed.manifest.segment_id}
    calls = trace.calls()
    place, places = 0, {}
    for step, pattern in STEPS.items():
        found = [i for i in range(place, len(calls)) if re.fullmatch(pattern.format(**words), calls[i])]
        assert found, f"not after the step before it: {step}\n" + "\n".join(calls)
        place = places[step] = found[0]
    # Nothing of the segment is written after the last word to the disk.
    told = places["the agent is told"]
    durable = max(i for i in range(told) if re.match(r"f(data)?sync", calls[i]))
    written = [i for i in range(told) if "sqlite-wal" in calls[i] and calls[i].startswith("pwrite64")]
    assert written[-1] < durable
