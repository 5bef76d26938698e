"""`protokol archive …` and `protokol agent enroll`. Results on stdout, everything else on stderr."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select

from archive import asking, door, enrolment, viewing
from archive import check as checking
from archive import reindex as rebuilding
from archive import search as searching
from archive.database import Database
from archive.key_database import KeyDatabase
from archive.models import Hold, Quarantine, RoomDay, Segment
from archive.mp4.sliced import SlicedFile
from archive.mp4.virtual import ClipTooLongError, CodecChangeError, build
from archive.store import Store
from archive.streaming import write_whole
from archive.system import Archive
from recorder.errors import BadInstantError, ConfigurationError, ProtokolError
from recorder.instants import format_exactly, format_instant, local_midnight_us, now_us
from recorder.intervals import Interval
from recorder.settings import load_settings

_MIB = 2**20


def actor() -> str:
    """Who is at the command line, for the custody log: the login's numeric id (sudo's caller, if any)."""
    return f"cli:{os.environ.get('SUDO_UID') or os.getuid()}"


def parse_interval(from_text: str, to_text: str) -> Interval:
    """Raises BadInstantError for a time without zone, or an end that is not after the start."""
    start_us, end_us = asking.instant_of(from_text), asking.instant_of(to_text)
    if end_us <= start_us:
        raise BadInstantError(f"--to ({to_text}) must be after --from ({from_text})")
    return Interval(start_us, end_us)


@click.command()
@click.argument("room")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="key file to write")
def agent_enroll(room: str, output: Path) -> None:
    """Make ROOM's signing key and token. The private key is written to FILE and kept nowhere else."""
    if output.exists():
        raise ConfigurationError(f"{output} exists already; move it away or choose another name")
    archive = Archive.open(load_settings())
    # Else a room that was just written into the file is unknown until somebody's next heartbeat.
    archive.sync_rooms_file(now_us())
    key = enrolment.enroll(archive, room, actor(), now_us())
    key.write(output)
    click.echo(f"{output}: key of room {key.room}, enrolment {key.enrolment}", err=True)


@click.command()
@click.option("--room", required=True)
@click.option("--date", "date_text", help="a local date: 2026-11-20")
@click.option("--from", "from_text", help="with --to, instead of --date: 2026-11-20T10:00:00+02:00")
@click.option("--to", "to_text")
@click.option("--json", "as_json", is_flag=True)
def search(
    room: str, date_text: str | None, from_text: str | None, to_text: str | None, *, as_json: bool
) -> None:
    """Segments and gaps of a room. Exit code 1 when nothing was found."""
    archive = Archive.open(load_settings())
    with archive.database.reading() as session:
        room_id = searching.room_id(session, archive.configurations, room)
        found = archive.configurations.last_known(session, room_id).room
        zone = archive.timezone(session)
        interval = _asked(date_text, from_text, to_text, zone)
        rows = searching.segments(session, room_id, interval)
        gaps = searching.gaps(session, room_id, interval)
    document = {
        "room": found.id,
        "label": found.label,
        "from": format_instant(interval.start_us, zone),
        "to": format_instant(interval.end_us, zone),
        "segments": [_segment(row, zone) for row in rows],
        "gaps": [_gap(gap, zone) for gap in gaps],
    }
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        for row in rows:
            click.echo(f"{_span(row, zone)}  {row.source}  {row.size_bytes / _MIB:7.1f} MiB  {row.id}")
        for gap in gaps:
            click.echo(f"{_span(gap, zone)}  {gap.source}  gap: {gap.cause} ({', '.join(gap.tracks)})")
    sys.exit(0 if rows or gaps else 1)


def _asked(date_text: str | None, from_text: str | None, to_text: str | None, zone: str) -> Interval:
    if date_text and not (from_text or to_text):
        day = asking.date_of(date_text)
        return Interval(local_midnight_us(day, zone), local_midnight_us(day + timedelta(days=1), zone))
    if from_text and to_text and not date_text:
        return parse_interval(from_text, to_text)
    raise click.UsageError("give either --date, or --from and --to")


def _span(fact: Any, zone: str) -> str:
    return f"{format_instant(fact.start_us, zone)} .. {format_instant(fact.end_us, zone)}"


def _segment(row: searching.StoredSegment, zone: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": row.source,
        "run": row.run,
        "start": format_instant(row.start_us, zone),
        "end": format_instant(row.end_us, zone),
        "start_us": row.start_us,
        "end_us": row.end_us,
        "size_bytes": row.size_bytes,
        "sha256": row.file_sha256,
        "clock_estimated": row.clock_estimated,
        "overlaps": row.overlaps,
    }


def _gap(gap: searching.GapFact, zone: str) -> dict[str, Any]:
    return {
        "source": gap.source,
        "tracks": list(gap.tracks),
        "start": format_instant(gap.start_us, zone),
        "end": format_instant(gap.end_us, zone),
        "start_us": gap.start_us,
        "end_us": gap.end_us,
        "cause": gap.cause,
        "detail": gap.detail,
    }


@click.command()
@click.option("--room", required=True)
@click.option("--from", "from_text", required=True, help="2026-11-20T10:00:00+02:00")
@click.option("--to", "to_text", required=True)
@click.option("--ground", required=True, help="request:NUMBER, hold:ID, fault_check or audit")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
def export(room: str, from_text: str, to_text: str, ground: str, output: Path) -> None:
    """Write a clip to FILE. It begins at the first keyframe at or after --from; the log says so."""
    archive = Archive.open(load_settings())
    interval, why = parse_interval(from_text, to_text), door.Ground.parse(ground)
    with archive.database.reading() as session:
        room_id = searching.room_id(session, archive.configurations, room)
        zone = archive.timezone(session)
        asked = (room_id, interval, why, now_us())
        try:
            pieces = door.resolve(session, archive.configurations, archive.store, *asked)
            clip = build(pieces, interval, exact=False)
        except (ClipTooLongError, CodecChangeError) as error:
            rows = door.permitted(session, archive.configurations, *asked, any_length=True)
            parts = door.divided(session, archive.store, rows, interval)
            raise ProtokolError(f"{error}:{_listed(parts, zone)}") from error
    applied = Interval(clip.start_us, clip.end_us)
    viewing_id = viewing.open_viewing(archive, actor(), room_id, interval, why, now_us())
    _write(output, archive.store, clip)
    viewing.served(archive, viewing_id, applied, clip.size, now_us())
    click.echo(
        f"{output}: {clip.size} bytes, {format_instant(applied.start_us, zone)} .. "
        f"{format_instant(applied.end_us, zone)}",
        err=True,
    )


def _listed(parts: door.Parts, zone: str) -> str:
    """The clips that can be had, each as the command takes it."""
    lines = [
        f"\n  --from {format_exactly(each.start_us, zone)} --to {format_exactly(each.end_us, zone)}"
        for each in parts.clips
    ]
    return "".join(lines) + ("\n  …" if parts.more_from_us is not None else "")


def _write(output: Path, store: Store, clip: SlicedFile) -> None:
    """Durable on return and readable by its owner alone: it is footage. Leaves no half of a file behind."""
    try:
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ProtokolError(f"{output} exists already; choose another name") from error
    except OSError as error:
        raise ProtokolError(f"cannot write {output}: {error.strerror}") from error
    try:
        write_whole(store, clip, fd)
        os.fsync(fd)
    except OSError as error:
        output.unlink(missing_ok=True)
        raise ProtokolError(f"cannot write {output}: {error.strerror}") from error
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


@click.command()
@click.option("--deep", is_flag=True, help="read and hash every object, verify every signature")
@click.option("--custody", is_flag=True, help="only the custody chain, its checkpoints and certificates")
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    type=click.Path(path_type=Path),
    help="a published checkpoint that somebody has kept",
)
@click.option("--json", "as_json", is_flag=True)
def check(*, deep: bool, custody: bool, witnesses: tuple[Path, ...], as_json: bool) -> None:
    """Compare index and objects both ways, walk the chains. Exit code 1 with findings."""
    archive = Archive.open(load_settings())
    findings = list(checking.custody_findings(archive) if custody else checking.check(archive, deep=deep))
    findings += checking.witness_findings(archive, witnesses)
    for note in checking.notes(archive):
        click.echo(note, err=True)
    if as_json:
        click.echo(
            json.dumps([{"kind": f.kind, "what": f.what} for f in findings], ensure_ascii=False, indent=1)
        )
    else:
        _tell(findings)
        if not findings:
            click.echo("clean", err=True)
    sys.exit(1 if findings else 0)


def _tell(findings: Sequence[checking.Finding]) -> None:
    for finding in findings:
        click.echo(f"{finding.kind}: {finding.what}")
    for kind in dict.fromkeys(f.kind for f in findings):
        click.echo(f"{kind}: {checking.ADVICE[kind]}", err=True)


@click.command()
def migrate() -> None:
    """Bring the databases, of the index and of keys, to this version's schema."""
    settings = load_settings()
    Database(settings.database).migrate()
    KeyDatabase(settings.keys).create()


@click.command()
@click.option("--json", "as_json", is_flag=True)
def reindex(*, as_json: bool) -> None:
    """Rebuild the index from objects and keys, into the empty database that PROTOKOL_DATABASE_URL names.

    Nothing is destroyed until `protokol hold confirm`. Requests, accounts and the custody log are not in the
    store: restore a backup of the database where there is one. Exit code 1 with findings.
    """
    archive = Archive.open(load_settings(), migrate=True, rebuild=True)
    report = rebuilding.reindex(archive, actor(), now_us())
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False, indent=1))
    else:
        for name, value in dataclasses.asdict(report).items():
            if name != "findings":
                click.echo(f"{name}: {value}")
        _tell(report.findings)
    click.echo("nothing is destroyed until the holds are confirmed: protokol hold confirm", err=True)
    sys.exit(1 if report.findings else 0)


@click.command()
@click.option("--json", "as_json", is_flag=True)
def stats(*, as_json: bool) -> None:
    """How much is kept, since when, and what stands in its way."""
    archive = Archive.open(load_settings())
    with archive.database.reading() as session:
        zone = archive.timezone(session)
        count, size_bytes, oldest_us = session.execute(
            select(func.count(), func.coalesce(func.sum(Segment.size_bytes), 0), func.min(Segment.start_us))
        ).one()
        document = {
            "segments": count,
            "size_bytes": int(size_bytes),
            "oldest": format_instant(oldest_us, zone) if oldest_us is not None else None,
            "open_room_days": _count(session, select(func.count()).where(RoomDay.state == "open")),
            "holds": _count(session, select(func.count()).where(Hold.released_us.is_(None))),
            "quarantined": _count(session, select(func.count()).select_from(Quarantine)),
        }
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        for name, value in document.items():
            click.echo(f"{name}: {value}")


def _count(session: Any, statement: Any) -> int:
    return int(session.scalar(statement) or 0)
