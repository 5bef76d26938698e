"""`protokol agent run` and `protokol agent probe`."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click

from recorder.errors import ConfigurationError
from recorder.keyfile import AgentKey
from recorder.logging import configure_logging
from recorder.rooms import Camera, Microphone, Room, RoomConfiguration
from recorder.settings import Settings, load_settings

_PROBE_S = 3.0
_PROBE_MICROPHONE_S = 1.0


def load_agent_key(settings: Settings, room: str) -> AgentKey:
    """Raises ConfigurationError, also when the key is another room's."""
    if settings.agent_key_file is None:
        raise ConfigurationError(
            "no key file is set; set PROTOKOL_AGENT_KEY_FILE (or agent_key_file) to the file that "
            "`protokol agent enroll` wrote"
        )
    key = AgentKey.load(settings.agent_key_file)
    if key.room != room:
        raise ConfigurationError(f"{settings.agent_key_file} is the key of room {key.room}, not of {room}")
    return key


@click.command("run")
@click.argument("room")
@click.option("--json-logs", is_flag=True, help="One JSON object a line instead of key=value.")
def agent_run(room: str, json_logs: bool) -> None:
    """Record ROOM (its id) in its working hours and ship the segments, until SIGTERM."""
    from recorder.agent import Agent, AgentOptions, share_one_heap  # noqa: PLC0415 only here
    from recorder.capture.health import HealthTerms  # noqa: PLC0415 as above
    from recorder.health_rules import Limits  # noqa: PLC0415 as above

    share_one_heap()
    configure_logging(json=json_logs)
    settings = load_settings()
    key = load_agent_key(settings, room)
    options = AgentOptions(
        spool_dir=settings.spool_dir(room),
        spool_limit_bytes=settings.spool_limit_bytes,
        secrets_dir=settings.camera_secrets_dir,
        # A demo runs in whatever container it is given, and those have no time service of their own.
        health=HealthTerms(Limits(clock_must_be_kept=not settings.demo)),
    )
    # From here on: what a start has begun is ended as cleanly as a recording.
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        agent = Agent(key, options, stopping)
    except OSError as error:
        raise ConfigurationError(
            f"cannot use the spool {options.spool_dir}: {error.strerror}; "
            "make it writable for this user or set PROTOKOL_AGENT_SPOOL_DIR"
        ) from error
    agent.run()


@click.command("probe")
@click.argument("room")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def agent_probe(room: str, as_json: bool) -> None:
    """Open the cameras of ROOM for three seconds and its microphone for one, and say what they send.

    The sound devices of this host are listed too. Exit code 1 when one of the room's does not send.

    An `onvif:` camera is asked as at the start of a recording: a GOP of more than two seconds is shortened.
    """
    settings = load_settings()
    configure_logging()
    configured = _room(settings, room)
    results = {camera.name: _probe(camera, settings.camera_secrets_dir) for camera in configured.cameras}
    microphone = _probe_microphone(configured.microphone) if configured.microphone else None
    devices = _sound_devices()
    if as_json:
        document = {"room": room, "cameras": results, "microphone": microphone, "sound_devices": devices}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        for name, result in [*results.items(), *([("microphone", microphone)] if microphone else [])]:
            facts = ", ".join(f"{key} {value}" for key, value in result.items() if value is not None)
            click.echo(f"{name}: {facts}")
        for device in devices:
            rates = "/".join(map(str, device["rates"])) or "no usual rate"
            click.echo(
                f"sound device {device['index']}: {device['name']}, {device['channels']} ch, {rates} Hz"
            )
    if any("error" in result for result in [*results.values(), microphone or {}]):
        sys.exit(1)


def _room(settings: Settings, room: str) -> Room:
    key = load_agent_key(settings, room)
    return RoomConfiguration.model_validate_json(key.configuration.configuration).room


def _probe_microphone(microphone: Microphone) -> dict[str, Any]:
    from recorder.capture.microphone import MicrophoneError  # noqa: PLC0415 as above
    from recorder.capture.microphone_probe import probe_microphone  # noqa: PLC0415 as above

    try:
        return probe_microphone(microphone, _PROBE_MICROPHONE_S)
    except MicrophoneError as error:
        return {"device": microphone.device, "error": str(error)}


def _sound_devices() -> list[dict[str, Any]]:
    """None where there is no sound system: only a room that has a microphone needs one."""
    from recorder.capture.microphone import MicrophoneError, list_sound_devices  # noqa: PLC0415 as above

    try:
        return list_sound_devices()
    except MicrophoneError as error:
        click.echo(f"no sound devices: {error}", err=True)
        return []


def _probe(camera: Camera, secrets_dir: Path | None) -> dict[str, Any]:
    from recorder.agent import camera_address  # noqa: PLC0415 as above
    from recorder.capture.camera import CameraError  # noqa: PLC0415 as above
    from recorder.capture.probe import probe  # noqa: PLC0415 as above

    address = camera_address(camera, secrets_dir)
    began = time.monotonic()
    try:
        seen = probe(address, _PROBE_S)
    except CameraError as error:
        return {"url": str(address), **address.facts(), "error": str(error)}
    open_s = round(time.monotonic() - began - _PROBE_S, 2)
    return {"url": str(address), "open_s": open_s, **address.facts(), **seen}
