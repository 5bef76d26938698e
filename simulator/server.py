"""The simulator's process: cameras, the thread that feeds them, the port that takes commands.

GLib's main loop runs in the main thread and owns the cameras; commands come in threads of their own and
are carried out in the main loop.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from recorder.die_with_parent import die_with_parent
from recorder.errors import ConfigurationError, ProtokolError
from simulator.camera import LOOPBACK, Camera, Credentials, Equipment
from simulator.faults import CommandError, Faults, change, describe
from simulator.feeder import Feeder
from simulator.formats import Format
from simulator.gst import GLib, GstRtspServer

READY = "READY"
# Threads of the RTSP server: with one, a client that waits for its media would stop all others.
_RTSP_THREADS = 8
_MAIN_LOOP_TIMEOUT_S = 30.0
_MAX_LINE_BYTES = 4096
_WELL = Faults()

_log = structlog.get_logger()


class SimulatorBrokenError(ProtokolError):
    """A defect of the simulator: it ends, because cameras without media would look like stalled ones."""


@dataclass(frozen=True)
class ServeOptions:
    """`rooms`: id and RTSP port of each (0: any free one). `start_faults`: what is wrong from the start.

    `formats`: what single rooms send instead of `usual`.
    """

    rooms: tuple[tuple[str, int], ...]
    media_dir: Path
    usual: Format
    formats: Mapping[str, Format]
    credentials: Credentials | None = None
    control_port: int = 0
    start_faults: Faults = _WELL
    die_with_parent: bool = False


def serve(options: ServeOptions, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Announces one line, `READY {json}`, when every camera listens.

    Raises ProtokolError for what cannot be served: no GStreamer, a port in use, no room for the loop.
    """
    if options.die_with_parent:
        parent = os.getppid()
        die_with_parent()
        if os.getppid() != parent:
            return  # it ended before the line above
    feeder = Feeder()
    cameras = _make_cameras(options, feeder)
    loop = GLib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, lambda: loop.quit() or True)
    for camera in cameras.values():
        camera.enact(options.start_faults, camera.encode_for(options.start_faults))
    with _ControlServer(options.control_port, cameras) as control:
        threading.Thread(target=control.serve_forever, name="control", daemon=True).start()
        ready = {"control": control.server_address[1], "rooms": {c.room: c.url for c in cameras.values()}}
        announce(f"{READY} {json.dumps(ready)}")
        feeder.start()
        GLib.timeout_add_seconds(1, lambda: feeder.is_alive() or loop.quit() or True)
        loop.run()
        control.shutdown()
    if not feeder.is_alive():
        raise SimulatorBrokenError("the feeder has ended; its traceback stands above")


def _make_cameras(options: ServeOptions, feeder: Feeder) -> dict[str, Camera]:
    rooms = [room for room, _ in options.rooms]
    if len(set(rooms)) != len(rooms):
        raise ConfigurationError("a room is named twice")
    strangers = sorted(options.formats.keys() - set(rooms))
    if strangers:
        raise ConfigurationError(f"--format of {', '.join(strangers)}, which --rooms does not name")
    threads = GstRtspServer.RTSPThreadPool.new()
    threads.set_max_threads(_RTSP_THREADS)
    equipment = Equipment(feeder, threads, options.media_dir)
    cameras = {}
    for room, port in options.rooms:
        sent = options.formats.get(room, options.usual)
        video = equipment.loop(sent.video)
        cameras[room] = Camera(room, port, video, sent.audio, equipment, options.credentials)
    return cameras


def _in_main_loop(action: Callable[[], None]) -> None:
    """Carry out in the main loop, and wait; what it raises is raised here."""
    done: queue.Queue[ProtokolError | None] = queue.Queue()

    def run() -> bool:
        try:
            action()
        except ProtokolError as error:
            done.put(error)
        else:
            done.put(None)
        return False

    GLib.idle_add(run)
    try:
        error = done.get(timeout=_MAIN_LOOP_TIMEOUT_S)
    except queue.Empty:
        raise CommandError("the simulator is too busy to obey") from None
    if error is not None:
        raise error


class _ControlServer(socketserver.ThreadingTCPServer):
    """Takes lines `ROOM COMMAND…` on loopback, answers `ok`, `ok STATE` or `error: MESSAGE`.

    ROOM may be `all`. Commands of one room are obeyed one after another.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, cameras: dict[str, Camera]) -> None:
        self._cameras = cameras
        self._lock = threading.Lock()
        try:
            super().__init__((LOOPBACK, port), _ControlHandler)
        except OSError as error:
            raise ConfigurationError(
                f"control port {port}: {error}; choose another --control-port"
            ) from error

    def obey(self, line: str) -> str:
        words = line.split()
        try:
            if len(words) < 2:
                raise CommandError("say ROOM COMMAND")
            with self._lock:
                states = [self._obey_one(camera, words[1:]) for camera in self._named(words[0])]
        except ProtokolError as error:
            return f"error: {error}"
        return f"ok {'; '.join(states)}" if words[1] == "status" else "ok"

    def _named(self, room: str) -> list[Camera]:
        if room == "all":
            return list(self._cameras.values())
        if room not in self._cameras:
            raise CommandError(f"no room {room[:40]!r}; there are {', '.join(self._cameras)}")
        return [self._cameras[room]]

    def _obey_one(self, camera: Camera, words: list[str]) -> str:
        if words == ["status"]:
            return describe(camera.faults)
        faults = change(camera.faults, words)
        video = camera.encode_for(faults)
        _in_main_loop(lambda: camera.enact(faults, video))
        return describe(faults)


class _ControlHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server: Any = self.server
        while line := self.rfile.readline(_MAX_LINE_BYTES):
            self.wfile.write((server.obey(line.decode("utf-8", "replace")) + "\n").encode())
