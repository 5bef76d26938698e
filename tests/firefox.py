"""Headless Firefox, Debian's own, over Marionette: the protocol that it speaks itself, without a driver.

Playwright knows only a Firefox that it has patched. What the tests need is a few commands; see
https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tests.processes import wait_for

FIREFOX = "/usr/bin/firefox-esr"
_PREFERENCES = {
    "marionette.port": 0,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.autoplay.block-webaudio": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "extensions.update.enabled": False,
    "media.gmp-manager.url": "data:,",
}


class FirefoxError(Exception):
    """Firefox answered a command with an error, or a script threw one."""


class _Answers:
    """Where pages send what a script gave: Marionette loses an answer now and then while a video plays."""

    def __init__(self) -> None:
        self.received: queue.Queue[dict[str, Any]] = queue.Queue()
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Nobody reads a log of a test's requests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Firefox:
    """One window, for pages without a content security policy."""

    def __init__(
        self, connection: socket.socket, stream: BinaryIO, answers: _Answers, sound: dict[str, str]
    ) -> None:
        """`stream` reads what comes over the connection."""
        self._connection, self._stream = connection, stream
        self._answers, self._sound = answers, sound
        self._number = 0
        self._receive()
        self._command("WebDriver:NewSession", {"capabilities": {}})

    def goto(self, url: str) -> None:
        """Returns when the page is loaded."""
        self._command("WebDriver:Navigate", {"url": url})

    def evaluate(self, expression: str) -> Any:
        """Waits for a promise, for 60 s; raises FirefoxError for what the script throws."""
        script = (
            f"Promise.resolve().then(() => window.eval({json.dumps(expression)}))"
            ".then(value => ({value}), error => ({error: String(error)}))"
            f".then(answer => fetch({json.dumps(self._answers.url)}, "
            "{method: 'POST', mode: 'no-cors', body: JSON.stringify(answer)}));"
        )
        # Without a sandbox of its own the script sees the page's variables.
        self._command("WebDriver:ExecuteScript", {"script": script, "args": [], "sandbox": None})
        answer = self._answers.received.get(timeout=60)
        if "error" in answer:
            raise FirefoxError(f"{expression}: {answer['error']}")
        return answer.get("value")

    @contextmanager
    def heard(self) -> Iterator[list[float]]:
        """What the loudspeaker plays meanwhile: 48 kHz samples between -1 and 1, complete at the end."""
        samples: list[float] = []
        command = [
            "parec",
            "-d",
            "@DEFAULT_MONITOR@",
            "--format=s16le",
            "--rate=48000",
            "--channels=1",
            "--raw",
        ]
        with tempfile.TemporaryFile() as file:
            process = subprocess.Popen(command, stdout=file, env={**os.environ, **self._sound})
            try:
                wait_for(lambda: os.fstat(file.fileno()).st_size, 20, "the loudspeaker is recorded")
                yield samples
            finally:
                process.terminate()
                process.wait()
            file.seek(0)
            samples += (np.frombuffer(file.read()[: file.tell() // 2 * 2], "<i2") / 32768).tolist()

    def _command(self, name: str, parameters: dict[str, Any]) -> None:
        self._number += 1
        message = json.dumps([0, self._number, name, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(message), message))
        _, number, error, _ = self._receive()
        assert number == self._number, f"{name}: the answer to another command"
        if error is not None:
            raise FirefoxError(f"{name}: {error['error']}: {error['message']}")

    def _receive(self) -> Any:
        """One message: its length in digits, a colon, JSON."""
        digits = b""
        while (byte := self._stream.read(1)) != b":":
            if not byte:
                raise FirefoxError("Firefox hung up")
            digits += byte
        return json.loads(self._stream.read(int(digits)))


@contextmanager
def firefox() -> Iterator[Firefox]:
    """A Firefox with a profile and a loudspeaker of its own, ended with all its children."""
    with tempfile.TemporaryDirectory(prefix="protokol-firefox-") as home, _loudspeaker(Path(home)) as sound:
        profile = Path(home, "profile")
        profile.mkdir()
        preferences = (
            f"user_pref({json.dumps(name)}, {json.dumps(_PREFERENCES[name])});" for name in _PREFERENCES
        )
        (profile / "user.js").write_text("\n".join(preferences))
        answers = _Answers()
        process = subprocess.Popen(
            [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
            env={**os.environ, **sound, "HOME": home, "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            port = profile / "MarionetteActivePort"
            wait_for(lambda: port.exists() and port.read_text().strip(), 60, "Firefox listens")
            with (
                socket.create_connection(("127.0.0.1", int(port.read_text())), timeout=90) as connection,
                connection.makefile("rb") as stream,
            ):
                yield Firefox(connection, stream, answers, sound)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            answers.close()


@contextmanager
def _loudspeaker(directory: Path) -> Iterator[dict[str, str]]:
    """A PulseAudio whose sink swallows all in real time; gives the environment that shows it."""
    address = directory / "pulse"
    environment = {
        "PULSE_SERVER": f"unix:{address}",
        "PULSE_RUNTIME_PATH": str(directory / "pulse-run"),
        "PULSE_STATE_PATH": str(directory / "pulse-state"),
        "PULSE_COOKIE": str(directory / "pulse-cookie"),
    }
    command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
    command += ["-L", f"module-native-protocol-unix socket={address} auth-anonymous=1"]
    command += ["-L", "module-null-sink rate=48000"]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment, "HOME": str(directory)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(address.exists, 20, "PulseAudio listens")
        yield environment
    finally:
        process.kill()
        process.wait()
