"""`protokol retention …` and `protokol hold …`. Results on stdout, everything else on stderr.

Exit codes: 0 clean; 1 done, with findings (a hold that has expired, a due day kept by a hold, a
certificate that does not verify); 2 failed or refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from archive import certified
from archive.cli import actor, parse_interval
from archive.models import Certificate, Hold
from archive.system import Archive
from recorder.durable import replace_file
from recorder.errors import ProtokolError
from recorder.instants import now_us, parse_instant
from recorder.logging import configure_logging
from recorder.settings import load_settings
from retention import certificate, frozen, holds, purge, rendering

_now_option = click.option("--now", "now_text", help="demo archives only: 2026-12-20T00:00:05+02:00")
_json_option = click.option("--json", "as_json", is_flag=True)


def _open() -> closing[Archive]:
    configure_logging()
    return closing(Archive.open(load_settings()))


def _print(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _leave(findings: Iterable[str]) -> None:
    """Tell findings on stderr; exit 1 if there are any."""
    told = list(findings)
    for line in told:
        click.echo(line, err=True)
    if told:
        sys.exit(1)


def _expired(found: Iterable[Hold]) -> list[str]:
    return [
        f"hold {hold.id} of room {hold.room} has expired and still keeps: decide whether to release it"
        for hold in found
    ]


@click.command()
@_now_option
@_json_option
def plan(now_text: str | None, *, as_json: bool) -> None:
    """What is due, and what holds keep. Destroys nothing. Exit code 1 when holds keep due footage."""
    given_us = None if now_text is None else parse_instant(now_text)
    with _open() as archive:
        made = purge.plan(archive, given_us)
        with archive.database.reading() as session:
            timezone = archive.timezone(session)
            expired = holds.expired_alarms(session, made.now_us)
    if as_json:
        _print(rendering.plan_document(made, timezone))
    else:
        for line in rendering.plan_lines(made, timezone):
            click.echo(line)
    held = [
        f"{each.room} {each.date}: due, {line}"
        for each in made.decisions
        if each.keep
        for line in each.reasons(timezone)
        if line.startswith("held")
    ]
    _leave([*held, *_expired(expired)])


@click.command()
@_now_option
@click.option("--confirm", metavar="DIGEST", help="the plan's digest, where more than half would go")
@_json_option
def run(now_text: str | None, confirm: str | None, *, as_json: bool) -> None:
    """Destroy what is due, irreversibly, and sign certificates. See `retention plan` first."""
    given_us = None if now_text is None else parse_instant(now_text)
    with _open() as archive:
        report = purge.run(archive, actor=actor(), now_us=given_us, confirm=confirm)
        with archive.database.reading() as session:
            timezone = archive.timezone(session)
            expired = holds.expired_alarms(session, report.now_us)
    if as_json:
        _print(rendering.report_document(report, timezone))
    else:
        for line in rendering.report_lines(report):
            click.echo(line)
    if report.failures:
        for failure in report.failures:
            click.echo(f"failed: {failure}", err=True)
        sys.exit(2)
    kept = [f"{day.room} {day.date}: {len(day.kept)} kept under holds" for day in report.days if day.kept]
    _leave([*kept, *_expired(expired)])


@click.command()
@click.option("--pdf", "directory", type=click.Path(path_type=Path), help="write each as a PDF into DIR")
@_json_option
def certificates(directory: Path | None, *, as_json: bool) -> None:
    """Certificates of purge, each checked: signature, chain and tombstone. Exit code 1 if one fails."""
    with _open() as archive, archive.database.reading() as session:
        rows = list(session.scalars(select(Certificate).order_by(Certificate.id)))
        findings = list(certified.verify(session, archive.server_key.public_key()))
        waiting = certificate.uncertified(session)
        timezone = archive.timezone(session)
    if directory is not None:
        _write(directory, rows, timezone)
    if as_json:
        _print([rendering.certificate_document(row) for row in rows])
    else:
        for row in rows:
            click.echo(rendering.certificate_line(row))
    if waiting:
        findings.append(f"{waiting} purges are not certified yet; `protokol retention run` finishes them")
    _leave(findings)


@click.command()
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False))
def certificate_file(number: int, output: Path) -> None:
    """Write certificate NUMBER to FILE: a PDF, or its signed JSON where FILE ends in .json.

    Exit code 1 when it, or the chain that it stands in, does not verify; it is written all the same.
    """
    with _open() as archive, archive.database.reading() as session:
        row = session.get(Certificate, number)
        findings = list(certified.verify(session, archive.server_key.public_key()))
        timezone = archive.timezone(session)
    if row is None:
        raise ProtokolError(f"there is no certificate {number}; `protokol retention certificates` names all")
    if output.exists():
        raise ProtokolError(f"{output} exists already; choose another name")
    if output.suffix == ".json":
        document = json.dumps(rendering.certificate_document(row), ensure_ascii=False, indent=1)
        content = f"{document}\n".encode()
    else:
        content = _pdf(row, timezone)
    try:
        replace_file(output, content)
    except OSError as error:
        raise ProtokolError(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"{output}: certificate {number}, room {row.room}, {row.date}", err=True)
    _leave(findings)


def _pdf(row: Certificate, timezone: str) -> bytes:
    # Imported here: the library of PDF is heavy, and the nightly purge does not need it.
    from retention import certificate_pdf  # noqa: PLC0415 -- as above

    return certificate_pdf.render(row, timezone)


def _write(directory: Path, rows: Iterable[Certificate], timezone: str) -> None:
    """`certificate-N.pdf` of each. The same certificate gives the same bytes: writing again harms nothing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for row in rows:
            replace_file(directory / f"certificate-{row.id}.pdf", _pdf(row, timezone))
    except OSError as error:
        raise ProtokolError(f"cannot write into {directory}: {error.strerror}") from error


@click.command()
@click.option("--room", required=True)
@click.option("--from", "from_text", required=True, help="2026-11-20T10:00:00+02:00")
@click.option("--to", "to_text", required=True, help="exclusive")
@click.option("--reason", required=True)
@click.option("--legal-ground", required=True)
@click.option("--expires", "expires_text", help="when to raise an alarm; the hold stands on")
@_json_option
def hold_add(
    room: str,
    from_text: str,
    to_text: str,
    reason: str,
    legal_ground: str,
    expires_text: str | None,
    *,
    as_json: bool,
) -> None:
    """Keep an interval of a room from purge, until somebody releases it."""
    expires_us = None if expires_text is None else parse_instant(expires_text)
    order = holds.HoldOrder(
        room, parse_interval(from_text, to_text), reason, legal_ground, actor(), expires_us=expires_us
    )
    at_us = now_us()
    with _open() as archive:
        with archive.database.transaction() as session:
            timezone = archive.timezone(session)
            placed = holds.place(session, archive, [order], at_us)
        if as_json:
            _print([rendering.hold_document(hold, timezone, at_us) for hold in placed])
        else:
            for hold in placed:
                click.echo(rendering.hold_line(hold, timezone, at_us))
    whole = len(placed) == 1 and placed[0].start_us == order.interval.start_us
    if not (whole and placed[0].end_us == order.interval.end_us):
        _leave(["a part of the interval is gone already: only what is printed above is held"])


@click.command()
@click.argument("hold_id", type=click.IntRange(1, 2**63 - 1))
@click.option("--reason", required=True)
def hold_release(hold_id: int, reason: str) -> None:
    """End hold HOLD_ID by a decision: what it alone kept of due days is destroyed by the next run."""
    at_us = now_us()
    with _open() as archive, archive.database.transaction() as session:
        holds.require_decided(session, archive, hold_id, at_us)
        holds.release(session, archive, hold_id, actor=actor(), reason=reason, now_us=at_us)
    click.echo(f"hold {hold_id} released")


@click.command()
@click.option("--room", help="id or label; all rooms without it")
@_json_option
def hold_list(room: str | None, *, as_json: bool) -> None:
    """Holds in force. Exit code 1 when one has expired."""
    at_us = now_us()
    with _open() as archive, archive.database.reading() as session:
        timezone = archive.timezone(session)
        room_id = None if room is None else archive.configurations.current(session)[1].room(room).id
        found = holds.active(session, room_id)
        expired = holds.expired_alarms(session, at_us)
    if as_json:
        _print([rendering.hold_document(hold, timezone, at_us) for hold in found])
    else:
        for hold in found:
            click.echo(rendering.hold_line(hold, timezone, at_us))
    _leave(_expired(expired))


@click.command()
@click.argument("digest", required=False)
def hold_confirm(digest: str | None) -> None:
    """After a rebuild of the index: say that the holds are as they must be, so that purge goes on.

    Without DIGEST, lists the holds and the digest to give. Exit code 1 while they are unconfirmed.
    """
    at_us = now_us()
    with _open() as archive:
        if digest is not None:
            done = frozen.confirm(archive, digest, actor=actor(), now_us=at_us)
            click.echo("confirmed: purge goes on" if done else "nothing waits for a confirmation")
            return
        with archive.database.reading() as session:
            timezone = archive.timezone(session)
            for hold in holds.active(session):
                click.echo(rendering.hold_line(hold, timezone, at_us))
            waiting = frozen.is_frozen(session)
            wanted = frozen.digest(session)
    told = "unconfirmed. If no request on paper or in a backup lacks its hold: protokol hold confirm"
    _leave([f"{told} {wanted}"] if waiting else [])
