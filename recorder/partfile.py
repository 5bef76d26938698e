"""A segment while it is being written: `ID.part`, and `ID.head`, which tells what it will be.

The head is durable before the first byte of footage, so that after a crash a part is never nameless.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recorder.durable import remove_file, replace_file, sync_directory, write_all
from recorder.errors import ProtokolError
from recorder.manifest import MAX_SWITCHES, ClockStatement, MicrophoneSwitch, SyncStatement

PART_SUFFIX = ".part"
HEAD_SUFFIX = ".head"
_SYNC_EVERY_S = 1.0
_CHUNK_BYTES = 1 << 20


class DiskError(ProtokolError):
    """The disk refused footage; what was durable before stays, this file gets nothing more."""

    def __init__(self, action: str, error: OSError) -> None:
        super().__init__(f"cannot {action}: {error.strerror or error}")
        self.errno = error.errno


class SegmentHead(BaseModel):
    """What a segment's manifest will say and its bytes cannot tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segment_id: Annotated[str, Field(max_length=36)]
    run: str
    start_us: int
    configuration_version: int
    clock: ClockStatement
    av_offset_us: int
    microphone: str
    agent_version: str
    switches: tuple[MicrophoneSwitch, ...] = ()
    sync: SyncStatement | None = None

    @classmethod
    def read(cls, path: Path) -> SegmentHead | None:
        """None for a head that a crash left unreadable."""
        try:
            return cls.model_validate_json(path.read_bytes(), strict=False)
        except (OSError, ValidationError):
            return None


class PartFile:
    """Append whole fragments; they are hashed as they go and durable within a second.

    All methods raise DiskError. One thread at a time.
    """

    def __init__(
        self, path: Path, head: SegmentHead, descriptor: int, digest: hashlib._Hash, media_bytes: int
    ) -> None:
        """Use `create` or `reopen`."""
        self.head = head
        self.path = path
        self.head_path = path.with_suffix(HEAD_SUFFIX)
        self.media_bytes = media_bytes
        self._descriptor = descriptor
        self._hash = digest
        self._named = media_bytes > 0
        self._synced_at = time.monotonic()

    @classmethod
    def create(cls, directory: Path, head: SegmentHead) -> PartFile:
        path = directory / (head.segment_id + PART_SUFFIX)
        head_path = path.with_suffix(HEAD_SUFFIX)
        try:
            replace_file(head_path, head.model_dump_json().encode())
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            with contextlib.suppress(OSError):
                remove_file(head_path)
            raise DiskError(f"begin segment {head.segment_id}", error) from error
        return cls(path, head, descriptor, hashlib.sha256(), 0)

    @classmethod
    def reopen(cls, path: Path, head: SegmentHead, media_bytes: int) -> PartFile:
        """A part that a crash left behind, cut to its first `media_bytes`."""
        try:
            digest = digest_of(path, media_bytes)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.ftruncate(descriptor, media_bytes)
        except OSError as error:
            raise DiskError("recover a segment", error) from error
        return cls(path, head, descriptor, digest, media_bytes)

    @property
    def media_sha256(self) -> str:
        return self._hash.hexdigest()

    def note_switch(self, switch: MicrophoneSwitch) -> None:
        """Durable on return. More than a manifest holds are left out."""
        if len(self.head.switches) >= MAX_SWITCHES:
            return
        head = self.head.model_copy(update={"switches": (*self.head.switches, switch)})
        try:
            replace_file(self.head_path, head.model_dump_json().encode())
        except OSError as error:
            raise DiskError("note a change of microphone", error) from error
        self.head = head

    def append(self, data: bytes | memoryview) -> None:
        """On DiskError the file ends where it ended before."""
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            self._truncate()
            raise DiskError("write footage", error) from error
        self._hash.update(data)
        self.media_bytes += len(data)
        if time.monotonic() - self._synced_at >= _SYNC_EVERY_S or not self._named:
            self._sync()

    def seal(self, manifest_box: bytes) -> None:
        """The manifest stands at the end and every byte is durable; nothing more is appended."""
        try:
            write_all(self._descriptor, manifest_box)
        except OSError as error:
            self._truncate()
            raise DiskError("write a manifest", error) from error
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise DiskError("make a segment durable", error) from error
        self._close()

    def abandon(self) -> None:
        """Neither the part nor its head is there any more, as far as the disk still obeys."""
        self._close()
        with contextlib.suppress(OSError):
            remove_file(self.path)
            remove_file(self.head_path)

    def _sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
            if not self._named:
                sync_directory(self.path.parent)
                self._named = True
        except OSError as error:
            raise DiskError("make footage durable", error) from error
        self._synced_at = time.monotonic()

    def _truncate(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self.media_bytes)
            os.lseek(self._descriptor, self.media_bytes, os.SEEK_SET)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):
                os.close(descriptor)


def digest_of(path: Path, length: int) -> hashlib._Hash:
    """SHA-256 over the first `length` bytes of the file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (chunk := file.read(min(_CHUNK_BYTES, length))):
            digest.update(chunk)
            length -= len(chunk)
    return digest
