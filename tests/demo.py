"""The demo as a process: simulated rooms, agents, server and retention, with its log-ins."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import httpx

from bench.warm import environment
from tests.processes import Process, free_port, wait_for

# Seven rooms are fifteen processes; a busy machine takes its time.
_PATIENCE_S = 240


class Demo:
    """`protokol demo` with one room, or those that are named, and what a person would type next to it."""

    def __init__(self, directory: Path, rooms: str = "108") -> None:
        self.data = directory / "data"
        self.clients: dict[str, httpx.Client] = {}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        start_environment = environment(directory, self.port)
        for name in list(start_environment):
            if name.startswith("PROTOKOL_"):
                del start_environment[name]
        arguments = ("--port", str(self.port), "--data", str(self.data), "--rooms", rooms)
        self.process = Process(start_environment, directory / "demo.log", "demo", *arguments)
        try:
            wait_for(self._is_up, _PATIENCE_S, "the demo is up")
        except BaseException:
            self.process.terminate(30)
            raise
        self.env = dict(start_environment)
        for line in (self.data / "demo.env").read_text("utf-8").splitlines():
            name, _, value = line.partition("=")
            self.env[name] = shlex.split(value)[0]
        self.logins = json.loads((self.data / "logins.json").read_text("utf-8"))

    def _is_up(self) -> bool:
        assert self.process.popen.poll() is None, self.process.said()
        return "Three things to try" in self.process.said()

    def staff(self, name: str) -> httpx.Client:
        """Logged in once; closed with the demo."""
        if name not in self.clients:
            self.clients[name] = self.log_in(name)
        return self.clients[name]

    def close(self) -> int:
        for client in self.clients.values():
            client.close()
        return self.process.terminate(30)

    def log_in(self, name: str) -> httpx.Client:
        """A client of its own; the caller closes it."""
        client = httpx.Client(base_url=self.url, timeout=30, follow_redirects=True)
        page = client.get("/staff/login").text
        csrf = re.search(r'name="csrf" value="([^"]+)"', page)
        fields = {"name": name, "password": self.logins[name], "csrf": csrf[1] if csrf else ""}
        assert client.post("/staff/login", data=fields).status_code == 200
        return client
