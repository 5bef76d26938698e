"""The chain of one source under one enrolment: segments and gaps, numbered and linked, on disk.

Directory `SOURCE/ENROLMENT/` of the spool: `000000042.mp4`, `000000043.gap`, parts with their heads,
and `chain.json`. The order of steps makes every crash harmless:

1. the entry gets its name `SEQUENCE.mp4|gap` (fsync, rename, fsync of the directory);
2. `chain.json` names it as the last one, durably;
3. only then may it be shipped and removed.

So the last link is always known from the files or from `chain.json`: after a crash between 1 and 2
the entry is still there and is adopted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from recorder.durable import make_directory, replace_file, sync_directory
from recorder.errors import ConfigurationError
from recorder.fragments import FragmentError, boxes
from recorder.manifest import (
    MANIFEST_BOX_UUID,
    MAX_MANIFEST_BYTES,
    GapManifest,
    ManifestError,
    SegmentManifest,
    SignedManifest,
    Track,
    decode,
    sign,
)
from recorder.partfile import DiskError, PartFile
from recorder.remains import covered_by

SEGMENT_SUFFIX = ".mp4"
GAP_SUFFIX = ".gap"
# A finished entry whose manifest the disk lost: kept aside until it is due.
DAMAGED_SUFFIX = ".damaged"
_STATE_NAME = "chain.json"


@dataclass(frozen=True, slots=True)
class Link:
    """Where the next manifest stands on the chain."""

    room: str
    source: str
    enrolment: str
    sequence: int
    previous: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished segment or gap on disk. `size` is the whole file, `manifest_at` where its manifest's
    box begins, 0 for a gap.
    """

    path: Path
    source: str
    sequence: int
    start_us: int
    end_us: int
    size: int
    manifest_at: int

    @property
    def is_segment(self) -> bool:
        return self.path.suffix == SEGMENT_SUFFIX


class _State(BaseModel):
    """`sequence` is the next one. `stopped_us`: a clean stop, and nothing was begun since."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    sequence: int = 0
    previous: str | None = None
    covered: dict[Track, int] = {}
    stopped_us: int | None = None
    boot_id: str = ""


class Chain:
    """One writer. `published` is told of each entry once it may be shipped.

    Raises ConfigurationError for a `chain.json` that is damaged: guessing would fork the chain.
    """

    def __init__(
        self,
        directory: Path,
        *,
        room: str,
        source: str,
        enrolment: str,
        key: Ed25519PrivateKey,
        published: Callable[[Entry], None],
    ) -> None:
        self.directory = directory
        self.source = source
        self._room = room
        self._enrolment = enrolment
        self._key = key
        self._published = published
        self._pending: list[Entry] = []
        self.damaged: list[str] = []
        # Why the last committed entry is not published yet; `save` mends it, as does the next commit.
        self.unsaved: DiskError | None = None
        # As it was before `begin`: when the agent stopped cleanly (None after a crash), and the host's
        # boot then (empty before the first one).
        self.stopped_us: int | None = None
        self.last_boot_id = ""
        make_directory(directory)
        self._state = self._load()
        self._adopt()

    @property
    def next_link(self) -> Link:
        return Link(self._room, self.source, self._enrolment, self._state.sequence, self._state.previous)

    @property
    def covered(self) -> dict[Track, int]:
        return dict(self._state.covered)

    def continue_account(self, before: Iterable[Chain]) -> None:
        """A chain that has not begun goes on where those of older enrolments ended, so that an enrolment
        anew leaves no time unaccounted for. Durable with `begin`.
        """
        ended = [each for each in before if each.covered]
        if self._state.covered or not ended:
            return
        last = max(ended, key=lambda chain: max(chain.covered.values()))
        ended_as = last._state  # noqa: SLF001 (of the same class)
        self._state.covered = last.covered
        self._state.boot_id, self._state.stopped_us = ended_as.boot_id, ended_as.stopped_us

    def begin(self, boot_id: str, covered: Mapping[Track, int]) -> None:
        """From now on a missing `mark_stopped` means a crash. Durable on return."""
        self.stopped_us, self.last_boot_id = self._state.stopped_us, self._state.boot_id
        self._state.stopped_us = None
        self._state.boot_id = boot_id
        self._state.covered = dict(covered)
        self.save()

    def mark_stopped(self, now_us: int, covered: Mapping[Track, int]) -> None:
        self._state.stopped_us = now_us
        self._state.covered = dict(covered)
        self.save()

    def commit_segment(
        self, part: PartFile, state_of: Callable[[Link], SegmentManifest], covered: Mapping[Track, int]
    ) -> SignedManifest:
        """The part becomes the next entry. Durable on return; raises DiskError, and then the chain
        is where it was and the part is as it was.
        """
        signed = sign(state_of(self.next_link), self._key)
        part.seal(signed.box)
        self.adopt_sealed(part.path, part.head_path, signed, covered)
        return signed

    def adopt_sealed(
        self, path: Path, head_path: Path, signed: SignedManifest, covered: Mapping[Track, int]
    ) -> None:
        """A part that ends with the chain's next manifest gets its name."""
        target = self._path(signed.manifest.sequence, SEGMENT_SUFFIX)
        try:
            size = path.stat().st_size
            path.rename(target)
            sync_directory(self.directory)
        except OSError as error:
            # Else two entries would stand under one number: this one, and the one that takes its place.
            with contextlib.suppress(OSError):
                target.rename(path)
            raise DiskError("name a segment", error) from error
        self._advance(signed, target, size, covered)
        head_path.unlink(missing_ok=True)

    def commit_gap(
        self, state_of: Callable[[Link], GapManifest], covered: Mapping[Track, int]
    ) -> SignedManifest:
        """Durable on return; raises DiskError, and then the chain is where it was."""
        signed = sign(state_of(self.next_link), self._key)
        target = self._path(signed.manifest.sequence, GAP_SUFFIX)
        try:
            replace_file(target, signed.encoded)
        except OSError as error:
            raise DiskError("write a gap record", error) from error
        self._advance(signed, target, len(signed.encoded), covered)
        return signed

    def _path(self, sequence: int, suffix: str) -> Path:
        return self.directory / f"{sequence:09d}{suffix}"

    def _advance(self, signed: SignedManifest, path: Path, size: int, covered: Mapping[Track, int]) -> None:
        manifest = signed.manifest
        self._state.sequence = manifest.sequence + 1
        self._state.previous = signed.sha256
        self._state.covered = dict(covered)
        self._pending.append(self._entry(signed, path, size))
        try:
            self.save()
        except DiskError as error:
            self.unsaved = error

    def save(self) -> None:
        """Step 2, after which step 3 may begin. Raises DiskError; nothing is lost, call it again."""
        try:
            replace_file(self.directory / _STATE_NAME, self._state.model_dump_json().encode())
        except OSError as error:
            raise DiskError("write chain.json", error) from error
        self.unsaved = None
        pending, self._pending = self._pending, []
        for entry in pending:
            self._published(entry)

    def _load(self) -> _State:
        path = self.directory / _STATE_NAME
        try:
            return _State.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return _State()
        except (OSError, ValidationError) as error:
            raise ConfigurationError(
                f"{path} is damaged, so the chain of {self.source} cannot go on; enroll the room again "
                f"(protokol agent enroll), which begins a new chain: {str(error).splitlines()[0]}"
            ) from error

    def _adopt(self) -> None:
        """An entry that a crash kept out of chain.json, and every older one, are published."""
        for path in sorted(self.directory.iterdir()):
            if path.suffix not in (SEGMENT_SUFFIX, GAP_SUFFIX) or not path.stem.isdigit():
                continue
            sequence = int(path.stem)
            try:
                signed = read_manifest(path)
            except ManifestError as error:
                if sequence >= self._state.sequence:
                    raise ConfigurationError(
                        f"the last link of the chain of {self.source} is lost: {error}; enroll the room "
                        "again (protokol agent enroll), which begins a new chain"
                    ) from error
                path.rename(path.with_suffix(DAMAGED_SUFFIX))
                self.damaged.append(path.name)
                continue
            if sequence >= self._state.sequence:
                self._follow(path, signed)
            self._pending.append(self._entry(signed, path, path.stat().st_size))
        if self._pending:
            self.save()

    def _entry(self, signed: SignedManifest, path: Path, size: int) -> Entry:
        manifest = signed.manifest
        at = manifest.media_bytes if isinstance(manifest, SegmentManifest) else 0
        return Entry(path, self.source, manifest.sequence, manifest.start_us, manifest.end_us, size, at)

    def _follow(self, path: Path, signed: SignedManifest) -> None:
        manifest = signed.manifest
        self._state.sequence = manifest.sequence + 1
        self._state.previous = signed.sha256
        if isinstance(manifest, GapManifest):
            covered = dict.fromkeys(map(Track, manifest.tracks), manifest.end_us)
        else:
            try:
                covered = covered_by(path, manifest)
            except (FragmentError, OSError):
                # Its media is for the archive to judge; the picture's end is stated.
                covered = {Track.VIDEO: manifest.end_us}
        for track, until_us in covered.items():
            self._state.covered[track] = max(self._state.covered.get(track, 0), until_us)


def read_manifest(path: Path, manifest_at: int = 0) -> SignedManifest:
    """Of a finished entry; raises ManifestError when it cannot be read.

    `manifest_at` spares the walk to the last box.
    """
    try:
        if path.suffix == GAP_SUFFIX:
            return decode(path.read_bytes())
        found = trailing_manifest(path, manifest_at)
    except (OSError, ManifestError) as error:
        raise ManifestError(f"{path} is damaged: {error}") from error
    if found is None:
        raise ManifestError(f"{path} bears no manifest")
    return found


def trailing_manifest(path: Path, at: int = 0) -> SignedManifest | None:
    """The manifest in the last box of a segment file, or None. Only headers of boxes are read, from
    the box at `at` on.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at + 8 <= size:
            file.seek(at)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8 or at + length > size:
                return None
            if at + length == size:
                return _manifest_of_box(file.read(length - 16), header, length)
            at += length
    return None


def _manifest_of_box(rest: bytes, header: bytes, length: int) -> SignedManifest | None:
    if length > MAX_MANIFEST_BYTES + 24:
        return None
    try:
        ((kind, start, _),) = boxes(header + rest)
    except (FragmentError, ValueError):
        return None
    body = (header + rest)[start:]
    if kind != b"uuid" or body[:16] != MANIFEST_BOX_UUID.bytes:
        return None
    try:
        return decode(body[16:])
    except ManifestError:
        return None
