"""`protokol archive rotate-key`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from archive import custody
from archive.cli import actor
from archive.master_key import MasterKey, make_master_key, read_master_key
from archive.opening_keys import master_key_file
from archive.system import Archive
from recorder.errors import ConfigurationError
from recorder.instants import now_us
from recorder.settings import Settings, load_settings

# Called with the name of each step, between it and the next one: tests kill the process there.
Fault = Callable[[str], None]
STEPS = (
    "begun",  # the event before it is durable, the old key in force
    "rewrapped",  # inside the transaction: all keys wrapped anew, not committed
    "wrapped",  # the new key in force, no event says so
    "told",  # all done
)


@click.command()
@click.option(
    "--new",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="file of the new master key; made where there is none",
)
def rotate_key(path: Path) -> None:
    """Wrap every key of footage by the master key in FILE; footage is not touched.

    All keys change in one transaction: after a crash the old master key is in force or the new one is. The
    same command again finishes it. Servers that run meanwhile refuse footage until they are restarted with
    the new key.
    """
    settings = load_settings()
    if not path.exists():
        make_master_key(path)
    new = read_master_key(path)
    with closing(_open(settings, path)) as archive:
        count = rotate(archive, new, actor(), now_us())
        with archive.database.reading() as session:
            old = master_key_file(settings, demo=archive.is_demo(session))
    if count:
        click.echo(f"{count} keys are wrapped by {path} now", err=True)
    else:
        click.echo(f"{path} is the master key in force: nothing was left to wrap", err=True)
    if old.resolve() != path.resolve():
        click.echo(
            f"next: 1. keep a copy of {path} in a safe place; 2. put it in the place of {old}, or name it in "
            f"PROTOKOL_MASTER_KEY_FILE; 3. restart the server; 4. keep the old key as long as backups of the "
            "key database from before this rotation are kept, then destroy it",
            err=True,
        )


def _open(settings: Settings, new: Path) -> Archive:
    """By the key in force: where an earlier call was cut off after its commit, the new one."""
    try:
        return Archive.open(settings)
    except ConfigurationError:
        try:
            return Archive.open(settings.model_copy(update={"master_key_file": new}))
        except ConfigurationError:
            pass
        raise


def no_fault(step: str) -> None:
    """Steps of a rotation in service are nobody's business."""


def rotate(archive: Archive, new: MasterKey, who: str, at_us: int, fault: Fault = no_fault) -> int:
    """Rotate the master key, with its custody events; how many keys were wrapped anew.

    The index and the keys are two databases: an event before and one after tell a rotation that was cut
    off between them.
    """
    details = {"master_key": new.fingerprint}
    with archive.database.transaction() as session:
        custody.append(session, custody.Event("master_key_rotation_begun", who, at_us, details=details))
    fault("begun")
    count = archive.store.keys.rotate(new, at_us, lambda: fault("rewrapped"))
    fault("wrapped")
    with archive.database.transaction() as session:
        event = custody.Event("master_key_rotated", who, at_us, details={**details, "keys": count})
        custody.append(session, event)
    fault("told")
    return count
