"""`protokol agent calibrate`: the constant offset between a room's picture and sound."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from recorder.cli import load_agent_key
from recorder.configuration import ConfigurationStore
from recorder.errors import ConfigurationError, ProtokolError
from recorder.logging import configure_logging
from recorder.rooms import Camera, Room
from recorder.settings import load_settings


@click.command("calibrate")
@click.argument("room")
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(10, 180), help="How long.")
@click.option("--camera", "source", help="Name of the camera, in a room with several; default: the first.")
@click.option(
    "--pattern",
    type=click.Choice(["room", "camera"]),
    default="room",
    show_default=True,
    help="Where the flash comes from: something in the room, or the camera itself (a simulated one).",
)
@click.option("--yes", is_flag=True, help="The people in the room know: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def agent_calibrate(
    room: str, seconds: int, source: str | None, pattern: str, yes: bool, as_json: bool
) -> None:
    """Look at ROOM and listen to it for a minute, and propose its `av_offset_ms`.

    Meanwhile clap every second or two in sight of the camera, or hold the server's page /calibrate before it.
    Nothing is kept and nothing is changed. Exit code 1 when the offset cannot be told.
    """
    from recorder.agent import camera_address  # noqa: PLC0415 only here
    from recorder.calibration import CannotTellError, calibrate  # noqa: PLC0415 as above
    from recorder.capture.calibrate import observe  # noqa: PLC0415 as above
    from recorder.capture.microphone_listener import MicrophoneListener  # noqa: PLC0415 as above

    settings = load_settings()
    configure_logging()
    key = load_agent_key(settings, room)
    store = ConfigurationStore(settings.spool_dir(room) / "configuration.json", key)
    configured = store.current.room
    camera = _camera(configured, source)
    address = camera_address(camera, settings.camera_secrets_dir)
    _ask(configured, seconds, f"{key.server_url}/calibrate", yes=yes)
    listener = MicrophoneListener(configured.microphone) if configured.microphone else None
    result: dict[str, Any] = {
        "room": configured.id,
        "source": camera.name,
        "current_av_offset_ms": configured.av_offset_ms,
    }
    try:
        observed = observe(address, seconds, listener)
        found = calibrate(observed.pictures, observed.sound, "camera" if pattern == "camera" else "room")
    except CannotTellError as error:
        result |= {"refused": error.code, "reason": str(error)}
    else:
        result |= {
            "av_offset_ms": round(found.offset_ms),
            "measured_ms": found.offset_ms,
            "uncertainty_ms": found.uncertainty_ms,
            "events": found.events,
            "pairs": found.pairs,
            "method": found.method,
            "line": f"av_offset_ms: {round(found.offset_ms)}",
        }
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else _spoken(result))
    if "refused" in result:
        sys.exit(CannotTellError.exit_code)


def _camera(room: Room, source: str | None) -> Camera:
    names = [camera.name for camera in room.cameras]
    if source is not None and source not in names:
        raise ConfigurationError(f"room {room.id} has no camera {source!r}; it has {', '.join(names)}")
    if not names:
        raise ConfigurationError(f"room {room.id} has no camera; there is nothing to calibrate")
    return room.cameras[names.index(source) if source else 0]


def _ask(room: Room, seconds: int, page: str, *, yes: bool) -> None:
    """Outside its hours nobody expects a room to be listened to. Raises ProtokolError without consent."""
    click.echo(
        f"Room {room.label} will be looked at and listened to for {seconds} s. Nothing is kept.\n"
        "Clap every second or two, in sight of the camera; or hold a telephone that shows "
        f"{page} before it.",
        err=True,
    )
    if not yes and not (sys.stdin.isatty() and click.confirm("Does everybody in the room know?", err=True)):
        raise ProtokolError("not begun; tell the people in the room, and confirm or say --yes")


def _spoken(result: dict[str, Any]) -> str:
    if "refused" in result:
        return f"{result['room']}/{result['source']}: the offset cannot be told: {result['reason']}"
    measured = result["measured_ms"]
    late = "picture comes after the sound" if measured > 0 else "sound comes after the picture"
    return (
        f"{result['room']}/{result['source']}: the {late} by {abs(measured):.0f} ms "
        f"± {result['uncertainty_ms']:.0f} ms ({result['events']} of {result['pairs']} {result['method']}); "
        f"av_offset_ms is {result['current_av_offset_ms']} now.\n"
        f"Put this line into rooms.yaml, at room {result['room']}:\n    {result['line']}"
    )
