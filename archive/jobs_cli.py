"""`protokol archive jobs`: what waits, runs, or has failed for good. Results on stdout.

Exit codes: 0 clean, 1 when there are dead letters, 2 failed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from archive import jobs as jobs_table
from archive.cli import actor
from archive.models import Job
from archive.system import Archive
from recorder.instants import format_instant, now_us
from recorder.settings import load_settings


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def jobs(context: click.Context, *, as_json: bool) -> None:
    """Dead letters first, then what runs, waits, and was over last. Exit code 1 with dead letters."""
    if context.invoked_subcommand is not None:
        return
    archive = Archive.open(load_settings())
    with archive.database.reading() as session:
        zone = archive.timezone(session)
        rows = jobs_table.shown(session)
        dead = jobs_table.counts(session)["failed"]
    if as_json:
        click.echo(json.dumps([_document(row, zone) for row in rows], ensure_ascii=False, indent=1))
    else:
        for row in rows:
            click.echo(_line(row, zone))
    archive.close()
    sys.exit(1 if dead else 0)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1, 2**63 - 1))
def retry(job_id: int) -> None:
    """Queue a job anew that failed for good or was cancelled."""
    _do(jobs_table.retry, job_id)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1, 2**63 - 1))
def cancel(job_id: int) -> None:
    """End a job that waits, or failed for good; ask for the end of one that runs."""
    _do(jobs_table.cancel, job_id)


def _do(what: Any, job_id: int) -> None:
    archive = Archive.open(load_settings())
    with archive.database.transaction() as session:
        state = what(session, job_id, actor(), now_us())
    archive.close()
    told = "will end where its worker looks next" if state == "running" else f"is {state}"
    click.echo(f"job {job_id} {told}", err=True)


def _line(row: Job, zone: str) -> str:
    tried = f"attempt {row.attempts}/{row.max_attempts}"
    how_far = f"  {row.progress_done}/{row.progress_total}" if row.progress_total else ""
    why = f"  {row.last_error}" if row.last_error else ""
    began = format_instant(row.created_us, zone)
    return f"{row.id}  {row.state:9}  {began}  {row.key}  {tried}{how_far}{why}"


def _document(row: Job, zone: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "key": row.key,
        "state": row.state,
        "attempts": row.attempts,
        "max_attempts": row.max_attempts,
        "not_before": format_instant(row.not_before_us, zone),
        "lease_owner": row.lease_owner,
        "cancel_asked": row.cancel_asked,
        "progress": [row.progress_done, row.progress_total] if row.progress_total else None,
        "last_error": row.last_error,
        "failure": row.failure,
        "created": format_instant(row.created_us, zone),
        "finished": format_instant(row.finished_us, zone) if row.finished_us is not None else None,
    }
