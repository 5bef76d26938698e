"""`protokol archive quarantine`: what was refused, and why."""

from __future__ import annotations

import json
import sys

import click
from sqlalchemy import select

from archive.models import Quarantine
from archive.system import Archive
from recorder.instants import format_instant
from recorder.settings import load_settings


@click.command()
@click.option("--room", help="one room only, by its id")
@click.option("--json", "as_json", is_flag=True)
def quarantine(*, room: str | None, as_json: bool) -> None:
    """What was refused and is kept apart, the newest first. Exit code 1 when there is anything."""
    archive = Archive.open(load_settings())
    statement = select(Quarantine).order_by(Quarantine.id.desc())
    if room:
        statement = statement.where(Quarantine.room == room)
    with archive.database.reading() as session:
        zone = archive.timezone(session)
        rows = [
            {
                "id": row.id,
                "received": format_instant(row.received_us, zone),
                "room": row.room,
                "date": row.date,
                "segment": row.claimed_id,
                "code": row.code,
                "reason": row.reason,
                "size_bytes": row.size_bytes,
                "sha256": row.sha256,
                "object": row.object_name,
            }
            for row in session.scalars(statement)
        ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        for row in rows:
            size = f"{row['size_bytes']:>12} bytes"
            click.echo(f"{row['received']}  {row['room']}  {size}  {row['code']}: {row['reason']}")
    sys.exit(1 if rows else 0)
