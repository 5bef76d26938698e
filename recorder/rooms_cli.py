"""`protokol rooms …`: check a rooms file, and show when a room is recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from recorder import working_hours
from recorder.instants import US_PER_MINUTE, format_instant, parse_date, to_datetime
from recorder.rooms import Room, RoomsFile, RoomsFileError, load_rooms, parse_rooms, shipped_rooms_text
from recorder.settings import load_settings

SHIPPED = "rooms.yaml (as shipped)"


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def rooms_check(file: Path | None) -> None:
    """Check FILE, or the live rooms file, and say what it means; every problem with its line and key."""
    try:
        name, rooms = (str(file), load_rooms(file)) if file else _in_force()
    except RoomsFileError as error:
        # One problem a line and nothing before it, so that an editor can jump to FILE:LINE.
        click.echo(f"{error}\nproblems: {len(error.problems)}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"{name}: no problems")
    click.echo(f"{rooms.council.name.uk} / {rooms.council.name.en}, {rooms.council.timezone}")
    click.echo(f"kept for {rooms.retention.months} month(s); {len(rooms.calendar)} date(s) in the calendar")
    for days, of_days in rooms.hours.items():
        click.echo(f"  {days:8} {', '.join(of_days) or 'closed'}")
    click.echo(f"{len(rooms.rooms)} rooms:")
    for room in rooms.rooms:
        click.echo(f"  {_line(room)}")


@click.command("hours")
@click.argument("room_name", metavar="ROOM")
@click.option("--date", "date_text", required=True, metavar="DATE", help="Local date, as in 2026-03-29.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def rooms_hours(room_name: str, date_text: str, *, as_json: bool) -> None:
    """Recording windows of ROOM (id or label) that start on a local date."""
    day = parse_date(date_text)
    _, rooms = _in_force()
    room = rooms.room(room_name)
    zone = rooms.council.timezone
    # The version does not bear on the hours.
    windows = working_hours.windows(rooms.configuration(room.id, version=0), day)
    recorded_us = sum(window.duration_us for window in windows)
    if as_json:
        listed = [
            {
                "start": to_datetime(window.start_us, zone).isoformat(),
                "end": to_datetime(window.end_us, zone).isoformat(),
                "start_us": window.start_us,
                "end_us": window.end_us,
            }
            for window in windows
        ]
        answer = {
            "room": room.id,
            "label": room.label,
            "date": day.isoformat(),
            "timezone": zone,
            "windows": listed,
            "recorded_us": recorded_us,
        }
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    click.echo(f"{room.label}, {day.isoformat()} ({zone}):{'' if windows else ' closed all day'}")
    for window in windows:
        click.echo(f"  {format_instant(window.start_us, zone)} - {format_instant(window.end_us, zone)}")
    if windows:
        minutes = recorded_us // US_PER_MINUTE
        click.echo(f"  {minutes // 60} h {minutes % 60:02} min recorded")


def _in_force() -> tuple[str, RoomsFile]:
    """The live rooms file; the shipped one where the server has not written its own yet."""
    path = load_settings().rooms
    if path.exists():
        return str(path), load_rooms(path)
    return SHIPPED, parse_rooms(shipped_rooms_text(), SHIPPED)


def _line(room: Room) -> str:
    cameras = ", ".join(
        f"{camera.name} {camera.url or 'onvif ' + str(camera.onvif)}" for camera in room.cameras
    )
    sound = f"microphone {room.microphone.device}" if room.microphone else "the camera's own sound"
    own = "".join(
        [
            ", hours of its own" if room.hours is not None else "",
            ", calendar of its own" if room.calendar else "",
        ]
    )
    label = room.label if room.label == room.id else f"{room.label} ({room.id})"
    return f"{label}, floor {room.floor}: {cameras or 'no camera'}; {sound}{own}"
