"""The council server is down for ten minutes while a room records: everything arrives later, in order."""

from __future__ import annotations

import time

import pytest

from bench.warm import environment
from recorder.instants import US_PER_SECOND, format_instant, now_us
from simulator.control import Simulator
from tests.footage import ROOMS
from tests.processes import Process, free_port, protokol, protokol_json, server, wait_for

AWAY_S = 600


def found(env, start_us):
    span = ("--from", format_instant(start_us), "--to", format_instant(now_us()))
    return protokol_json(env, "archive", "search", "--room", "108", *span)


@pytest.mark.slow
@pytest.mark.timeout(AWAY_S + 300)
def test_ten_minutes_without_the_server_lose_nothing(tmp_path):
    start_us = now_us()
    with Simulator(("108",)) as simulator:
        rooms = ROOMS.replace("rtsp://127.0.0.1:9/108", simulator.url("108"))
        (tmp_path / "rooms.yaml").write_text(rooms, "utf-8")
        env = environment(tmp_path, free_port())
        key = tmp_path / "108.key"
        agent_env = {**env, "PROTOKOL_AGENT_KEY_FILE": str(key)}
        with server(env, tmp_path / "server.log") as first:
            protokol(env, "agent", "enroll", "108", "-o", str(key))
            agent = Process(agent_env, tmp_path / "agent.log", "agent", "run", "108")
            try:
                wait_for(lambda: found(env, start_us)["segments"], 100, "a segment before the outage")
                first.kill9()
                time.sleep(AWAY_S)
                assert agent.popen.poll() is None, agent.said()
                with server(env, tmp_path / "server.log"):
                    back_us = now_us()
                    # The first segment that ended after the server's return: all before it came first.
                    wait_for(
                        lambda: found(env, start_us)["segments"][-1]["end_us"] > back_us,
                        120,
                        "the spool has been shipped",
                    )
                    assert agent.terminate(6) == 0
                    facts = found(env, start_us)
            finally:
                agent.close()
    segments = facts["segments"]
    covered_us = sum(segment["end_us"] - segment["start_us"] for segment in segments)
    whole_us = segments[-1]["end_us"] - segments[0]["start_us"]
    # Runs may meet within a frame; not one segment of the ten minutes is missing.
    assert whole_us > AWAY_S * US_PER_SECOND
    assert abs(whole_us - covered_us) < US_PER_SECOND // 10
    assert {gap["cause"] for gap in facts["gaps"]} <= {"opening", "maintenance"}
    protokol(env, "archive", "check", "--deep")
