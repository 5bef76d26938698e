"""Whether anything that proves something was touched: the custody chain, its checkpoints, certificates.

Reads only, in one pass over the events: memory does not grow with them. What the database holds is taken
for whatever somebody may have put there, so that nothing in it makes the check stop.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Row, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from archive import certified, checkpoint, custody, log_origin, time_stamp
from archive.checkpoint import CheckpointError
from archive.models import Certificate, CustodyCheckpoint
from archive.system import Archive

Kind = Literal["custody", "checkpoint", "certificate", "time_stamp", "guard"]
Line = tuple[Kind, str]

ADVICE: dict[str, str] = {
    "custody": "the log of actions was edited or cut: keep the database and inquire; compare with a backup "
    "and with checkpoints that others have kept (--witness FILE)",
    "checkpoint": "what was published differs from what is here: keep both, inquire; after a restore from a "
    "backup, restore a newer one",
    "certificate": "a proof of destruction was edited or cut: keep the database and inquire",
    "time_stamp": "it does not prove the checkpoint's time: keep it, ask the time stamp authority",
    "guard": "the database lets the log be changed: keep it and inquire who dropped the trigger; the "
    "statements are in archive/migrations/versions/0004_custody.py",
}

# Action of an event → the kind of proof whose digest it tells.
_PROMISES: dict[str, Kind] = {"purge_certified": "certificate", checkpoint.ACTION: "checkpoint"}
_TABLES = ("custody_event", "custody_checkpoint", "certificate", "custody_head")
_NOT_THE_ONE = "is not the last one from before the rebuild of the index, or is gone"
_PUBLISHED = re.compile(r"(\d{4}-\d\d-\d\d)\.(json|tsr)")


@dataclass(slots=True)
class _Bound:
    """What the chain must agree with, and where it does not. Shown the events in their order."""

    # By sequence, ascending; those that the walk has passed are taken off the front.
    checkpoints: deque[checkpoint.Told] = field(default_factory=deque)
    # (action, subject) of an event → the digest that it must tell; told ones are taken out.
    promised: dict[tuple[str, str], str] = field(default_factory=dict)
    found: list[Line] = field(default_factory=list)
    # Of a rebuilt index: what its log bears no events of.
    origin: log_origin.Origin | None = None

    def see(self, row: Row[Any]) -> None:
        while self.checkpoints and self.checkpoints[0].sequence <= row.sequence:
            told = self.checkpoints.popleft()
            # Sequence 0: signed before the first event.
            if told.sequence and (told.sequence, told.head_sha256) != (row.sequence, row.sha256):
                line = f"event {told.sequence} is not the one that checkpoint {told.date} was signed for"
                self.found.append(("custody", line))
        if row.action in _PROMISES:
            self._see_promise(row)

    def _see_promise(self, row: Row[Any]) -> None:
        try:
            told = json.loads(row.details)["sha256"]
        except (ValueError, KeyError, TypeError):
            told = None
        if self.promised.pop((row.action, row.subject), None) != told:
            line = f"{row.subject} is not the one that event {row.sequence} tells of, or is gone"
            self.found.append((_PROMISES[row.action], line))

    def left(self) -> Iterator[Line]:
        """After the walk: what it did not come to, and what it found."""
        yield from self.found
        for told in self.checkpoints:
            yield (
                "custody",
                f"the chain was cut before event {told.sequence} of checkpoint {told.date}",
            )
        for action, subject in self.promised:
            yield _PROMISES[action], f"no event of the chain tells of {subject}, which stands in the database"


def check(archive: Archive) -> Iterator[Line]:
    """A line for each thing that is missing, altered or out of place. Silence is a clean archive.

    Raises ConfigurationError where time stamps are to be verified and cannot be.
    """
    with archive.database.reading() as session:
        for step in steps(archive):
            try:
                yield from step(session)
            except SQLAlchemyError as error:
                # SQLite keeps whatever was written, also text that is none.
                yield "custody", f"a row cannot be read: {getattr(error, 'orig', None) or error}"


def steps(archive: Archive) -> tuple[Callable[[Session], Iterator[Line]], ...]:
    """The parts of one check, to be called in their order, each once."""
    bound = _Bound()
    return (
        _guards,
        partial(_checkpoints, archive, bound),
        partial(_chain, bound),
        partial(_certificates, archive.server_key.public_key()),
    )


def _chain(bound: _Bound, session: Session) -> Iterator[Line]:
    before = (bound.origin.certificate, bound.origin.checkpoint) if bound.origin else (0, 0)
    certificates = select(Certificate.id, Certificate.sha256).where(Certificate.id > before[0])
    for number, sha256 in session.execute(certificates):
        bound.promised["purge_certified", f"certificate:{number}"] = sha256
    checkpoints = select(CustodyCheckpoint.date, CustodyCheckpoint.sha256)
    for date, sha256 in session.execute(checkpoints.where(CustodyCheckpoint.number > before[1])):
        bound.promised[checkpoint.ACTION, f"checkpoint:{date}"] = sha256
    for line in custody.verify(session, bound.see):
        yield "custody", line
    yield from bound.left()


def _certificates(key: Ed25519PublicKey, session: Session) -> Iterator[Line]:
    for line in certified.verify(session, key):
        yield "certificate", line


def _checkpoints(archive: Archive, bound: _Bound, session: Session) -> Iterator[Line]:
    key, directory = archive.server_key.public_key(), checkpoint.directory(archive.settings)
    anchors = time_stamp.anchors(archive.settings)
    yield from _origin(bound, key, session)
    last_before = bound.origin.checkpoint if bound.origin else 0
    files = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    expected, previous, read = 1, None, list[checkpoint.Told]()
    for row in session.scalars(
        select(CustodyCheckpoint).order_by(CustodyCheckpoint.number).execution_options(yield_per=500)
    ):
        if row.number != expected:
            yield "checkpoint", f"checkpoints {expected}..{row.number - 1} are missing"
        if row.previous_sha256 != previous:
            yield "checkpoint", f"checkpoint {row.number} of {row.date} does not follow the one before it"
        expected, previous = row.number + 1, row.sha256
        try:
            told = checkpoint.read(row, key)
        except CheckpointError as error:
            yield "checkpoint", str(error)
            files -= {f"{row.date}.json", f"{row.date}.tsr"}
            continue
        if told.number > last_before:
            read.append(told)
        yield from _files(directory, files, row, key)
        if row.time_stamp is not None and anchors:
            try:
                time_stamp.verify(row.time_stamp, checkpoint.document(row, key), anchors)
            except time_stamp.TimeStampError as error:
                yield "time_stamp", f"time stamp of checkpoint {row.date}: {error}"
    # In the order of the chain, whatever numbers somebody has given to them.
    bound.checkpoints.extend(sorted(read, key=lambda each: each.sequence))
    for name in sorted(name for name in files if _PUBLISHED.fullmatch(name)):
        yield "checkpoint", f"{directory / name} was published, and the database has no such checkpoint"


def _origin(bound: _Bound, key: Ed25519PublicKey, session: Session) -> Iterator[Line]:
    """Where the log begins, and whether the last proofs from before a rebuild are those that it names."""
    if log_origin.is_unsigned(session, key):
        yield "custody", "event 1 says that the index was rebuilt, and this server has not signed it"
    bound.origin = origin = log_origin.read(session, key)
    if origin is None:
        return
    last = select(CustodyCheckpoint.sha256).where(CustodyCheckpoint.number == origin.checkpoint)
    if session.scalar(last) != origin.checkpoint_sha256:
        yield "checkpoint", f"checkpoint {origin.checkpoint} {_NOT_THE_ONE}"
    last = select(Certificate.sha256).where(Certificate.id == origin.certificate)
    if session.scalar(last) != origin.certificate_sha256:
        yield "certificate", f"certificate {origin.certificate} {_NOT_THE_ONE}"


def _files(directory: Path, files: set[str], row: CustodyCheckpoint, key: Ed25519PublicKey) -> Iterator[Line]:
    """The published files of a checkpoint against its row; takes them out of `files`."""
    wanted = {f"{row.date}.json": checkpoint.document(row, key)}
    if row.time_stamp is not None:
        wanted[f"{row.date}.tsr"] = row.time_stamp
    for name, content in wanted.items():
        path = directory / name
        try:
            if path.read_bytes() != content:
                yield "checkpoint", f"{path} differs from the database"
        except FileNotFoundError:
            yield "checkpoint", f"{path} is missing; the server writes it again from the database"
        except OSError as error:
            yield "checkpoint", f"{path} cannot be read: {error.strerror}"
        files.discard(name)


def witness(archive: Archive, path: Path) -> Iterator[Line]:
    """A published checkpoint that somebody has kept, against the database."""
    try:
        row = checkpoint.parse(path.read_bytes(), archive.server_key.public_key())
    except OSError as error:
        yield "checkpoint", f"{path} cannot be read: {error.strerror}"
        return
    except CheckpointError:
        yield "checkpoint", f"{path} is not a checkpoint that this server's key has signed"
        return
    with archive.database.reading() as session:
        known = session.get(CustodyCheckpoint, row.number)
    if known is None or known.sha256 != row.sha256:
        yield "checkpoint", f"{path} was signed by this server, and the database has another or none"


def _guards(session: Session) -> Iterator[Line]:
    """The triggers of migration 0004, in force."""
    if session.get_bind().dialect.name == "sqlite":
        found = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        kinds = ("update", "delete", "replace")
    else:
        found = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
        kinds = ("update", "delete", "truncate")
    there = set(session.scalars(text(found)))
    for table in _TABLES:
        for kind in kinds:
            if f"{table}_no_{kind}" not in there:
                yield "guard", f"the trigger {table}_no_{kind} is missing or disabled"
