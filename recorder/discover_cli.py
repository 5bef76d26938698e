"""`protokol rooms discover`: the cameras of this network, and what rooms.yaml needs to know of them."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recorder.errors import ConfigurationError
from recorder.logging import configure_logging
from recorder.rooms import Camera

if TYPE_CHECKING:
    from recorder.capture.onvif_device import Answer, Profile
    from recorder.capture.onvif_discovery import Found

# Each is a process of half a second.
_AT_ONCE = 4


@click.command("discover")
@click.option(
    "--timeout",
    "timeout_s",
    default=3.0,
    show_default=True,
    type=click.FloatRange(0.1, 60),
    help="Seconds to wait for answers.",
)
@click.option("--host", "hosts", multiple=True, help="Ask this camera, not the network; may be repeated.")
@click.option(
    "--credentials",
    "credentials_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with user:password of the cameras.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def rooms_discover(
    timeout_s: float, hosts: tuple[str, ...], credentials_file: Path | None, *, as_json: bool
) -> None:
    """List ONVIF cameras: model, clock, streams, and which one would be recorded. Changes nothing.

    Without --credentials only what cameras tell to everybody. Exit code 1 when no camera is found.
    """
    from recorder.capture.onvif_discovery import Found, discover  # noqa: PLC0415 only here

    configure_logging()
    login = _login(credentials_file)
    found = [Found(_checked(host)) for host in hosts] or discover(timeout_s)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        cameras = list(pool.map(lambda each: _camera(each, login), found))
    if as_json:
        click.echo(json.dumps({"cameras": cameras}, ensure_ascii=False))
    else:
        for camera in cameras:
            click.echo("\n".join(_lines(camera)))
        if not cameras:
            click.echo(f"no camera answered within {timeout_s:g} s; ask one by --host")
    if not any(camera["found"] for camera in cameras):
        sys.exit(1)


def _checked(host: str) -> str:
    """By the rule of rooms.yaml, so that what works here works there."""
    try:
        return str(Camera(onvif=host).onvif)
    except ValueError as error:
        raise ConfigurationError(
            f"--host {host[:60]!r} is no host; write it as in 10.1.8.20 or 10.1.8.20:8000"
        ) from error


def _login(file: Path | None) -> tuple[str, str] | None:
    from recorder.capture.camera import split_credentials  # noqa: PLC0415 only here

    if file is None:
        return None
    try:
        return split_credentials(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigurationError(f"{file} cannot be read: {reason}; write user:password into it") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def _camera(found: Found, login: tuple[str, str] | None) -> dict[str, Any]:
    from recorder.capture.onvif_address import ask  # noqa: PLC0415 only here
    from recorder.capture.onvif_device import Failure, OnvifError, Question, choose_profile  # noqa: PLC0415

    user, password = login or (None, None)
    answer = ask(Question(host=found.host, user=user, password=password))
    chosen, problem = None, answer.message or None
    if answer.device and not answer.device.locked:
        try:
            choice = choose_profile(answer.device)
            chosen = {"token": choice.profile.token, "reason": choice.reason}
        except OnvifError as error:
            problem = str(error)
    absent = answer.failure in {Failure.UNREACHABLE, Failure.NOT_ONVIF}
    return {
        "host": found.host,
        "name": found.name,
        "hardware": found.hardware,
        # Who answers a call for cameras is one, whatever it says then.
        "found": bool(found.name or found.hardware) or not absent,
        **_told(answer, password),
        "chosen": chosen,
        "problem": problem,
    }


def _told(answer: Answer, password: str | None) -> dict[str, Any]:
    from recorder.capture.onvif_device import Device  # noqa: PLC0415 only here

    device = answer.device or Device(host="")
    return {
        "manufacturer": device.manufacturer,
        "model": device.model,
        "firmware": device.firmware,
        "clock_error_ms": device.clock_error_ms,
        "clock_uncertainty_ms": device.clock_uncertainty_ms,
        "needs_password": device.locked,
        "profiles": [_profile(profile, password) for profile in device.profiles],
    }


def _profile(profile: Profile, password: str | None) -> dict[str, Any]:
    from recorder.capture.onvif_device import shown  # noqa: PLC0415 only here

    return {
        **profile.model_dump(exclude={"encoder"}),
        "uri": shown(profile.uri, password) if profile.uri else None,
    }


def _lines(camera: dict[str, Any]) -> list[str]:
    name = " ".join(filter(None, (camera["manufacturer"], camera["model"])))
    name = name or camera["name"] or camera["hardware"] or "model unknown"
    lines = [f"{camera['host']}  {name}"]
    if camera["firmware"]:
        lines[0] += f", firmware {camera['firmware']}"
    if camera["clock_error_ms"] is not None:
        error_s, within_s = camera["clock_error_ms"] / 1000, camera["clock_uncertainty_ms"] / 1000
        lines.append(f"  clock {error_s:+.1f} s (±{within_s:.1f} s)")
    if camera["needs_password"]:
        lines.append("  model and streams need a user and a password: --credentials FILE")
    chosen = camera["chosen"] or {}
    for profile in camera["profiles"]:
        facts = [
            f"{profile['codec'] or 'no picture'} {profile['width']}x{profile['height']}",
            *([f"{profile['fps']:g} fps"] if profile["fps"] else []),
            *([f"{profile['bitrate_kbps']} kbit/s"] if profile["bitrate_kbps"] else []),
            *([f"GOP {profile['gop_frames']} frames"] if profile["gop_frames"] else []),
            f"sound {profile['audio']}" if profile["audio"] else "no sound",
            profile["uri"] or "no stream",
        ]
        mark = "*" if profile["token"] == chosen.get("token") else " "
        lines.append(f" {mark}{profile['name'] or profile['token']}: {', '.join(facts)}")
    if chosen:
        lines.append(f"  * is recorded: {chosen['reason']}")
    if camera["problem"]:
        lines.append(f"  {camera['problem']}")
    return lines
