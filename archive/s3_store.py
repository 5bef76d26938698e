"""Objects in an S3-compatible store (Ceph RGW, OpenStack Swift, Amazon). Durable: `commit` returns after the
store has answered that it has the object, and that its digest is the one of the bytes that were written.

On the way in bytes lie in a file without a name, so that a crash leaves nothing of them on this host. Every
request is signed over the SHA-256 of its body, which the store compares; the ETag of the answer (MD5, or MD5
of the parts' MD5) is compared here. A bucket that encrypts by a KMS gives other ETags and cannot be used.

A hung store costs a writer `WRITING.give_up_s + request_s` (90 s) for an object of one part, 45 s more
where four others are being committed; a reader 25 s.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store as Client

from archive.s3_location import S3Location
from archive.s3_rest import S3Rest
from archive.s3_retries import READING, WRITING, ChecksumError, Patience, retrying
from archive.store import NotAtHandError, StoreAwayError, StoreError, StoreFullError, checked_name
from recorder.durable import make_directory, write_all

# A minute at 8 Mbit/s is 60 MB: one request, which is whole or nothing. Parts are for what is larger: Swift
# keeps those of an object that is replaced.
PART_BYTES = 64 * 2**20
# Each holds a part in memory: 256 MiB in all.
_COMMITS_AT_ONCE = 4
# One POST of a store that removes its replicas one by one must not outlast its time-out.
_DELETED_AT_ONCE = 100
_LISTED_AT_ONCE = 1000
# Longer than any commit takes: what is older has no writer any more, on whichever server it was.
_UNFINISHED_S = 3600


class S3ObjectStore:
    """Safe in threads; each writer and reader belongs to one at a time."""

    def __init__(
        self,
        location: S3Location,
        spool_dir: Path,
        *,
        part_bytes: int = PART_BYTES,
        writing: Patience = WRITING,
        reading: Patience = READING,
    ) -> None:
        """`spool_dir`: of this host, with room for every object on its way. `part_bytes`: 5 MiB or more.

        Asks the store nothing yet. Raises StoreError.
        """
        self.location = location
        self.part_bytes, self.writing, self.reading = part_bytes, writing, reading
        self.spool_dir = spool_dir
        self.listed_at_once, self.unfinished_s = _LISTED_AT_ONCE, _UNFINISHED_S
        try:
            make_directory(spool_dir)
        except OSError as error:
            raise StoreError(f"cannot make the directory {spool_dir}: {error.strerror}") from error
        self.for_writing, self.for_reading = _client(location, writing), _client(location, reading)
        self.commits = threading.BoundedSemaphore(_COMMITS_AT_ONCE)
        self.rest = S3Rest(location)

    def writer(self, name: str) -> _S3Writer:
        return _S3Writer(self, checked_name(name))

    def open(self, name: str) -> _S3Reader:
        return _S3Reader(self, checked_name(name))

    def delete(self, names: Iterable[str]) -> None:
        rest = [checked_name(name) for name in names]
        while rest:
            batch, rest = rest[:_DELETED_AT_ONCE], rest[_DELETED_AT_ONCE:]
            more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""

            def attempt(batch: list[str] = batch) -> None:
                # A bucket's own answer to what is gone already; some stores answer 404.
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(self.for_writing, batch)

            retrying(f"cannot delete {batch[0]}{more}", self.writing, attempt)

    def names(self, within: str = "") -> Iterator[str]:
        """A store may list late what it has just taken in or lost a daemon for: `open` is the truth."""
        last: str | None = None
        while True:
            page = retrying("cannot list the store", self.reading, partial(self._page, within or None, last))
            for name in page:
                if name.count("/") == 2:
                    yield name
            if len(page) < self.listed_at_once:
                return
            last = page[-1]

    def _page(self, within: str | None, after: str | None) -> list[str]:
        stream = obstore.list(self.for_reading, within, offset=after, chunk_size=self.listed_at_once)
        return [entry["path"] for entry in next(iter(stream), [])]

    def sweep(self, *, alone: bool) -> int:  # noqa: ARG002 (who writes to a store of many is not known)
        """Multipart uploads begun more than an hour ago; safe while others write."""
        prefix = f"{self.location.prefix}/" if self.location.prefix else ""
        before = datetime.now(UTC) - timedelta(seconds=self.unfinished_s)
        return self.abort_uploads(prefix, before)

    def abort_uploads(self, key_prefix: str, before: datetime | None = None) -> int:
        """Of keys that begin so, and, where given, begun before an instant. Raises StoreError."""
        swept = 0
        for upload in list(self.rest.unfinished(key_prefix)):
            if before is None or upload.begun < before:
                self.rest.abort(upload)
                swept += 1
        return swept

    def key(self, name: str) -> str:
        return f"{self.location.prefix}/{name}" if self.location.prefix else name


def _client(location: S3Location, patience: Patience) -> Client:
    options: Any = {
        "timeout": timedelta(seconds=patience.request_s),
        "connect_timeout": timedelta(seconds=min(5, patience.request_s)),
        "allow_http": location.endpoint.startswith("http://"),
    }
    if location.ca_file is not None:
        try:
            options["root_certificate"] = location.ca_file.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {location.ca_file}: {error.strerror}") from error
    return Client(
        location.bucket,
        prefix=location.prefix or None,
        # Said in full: the library would read what is not said from the environment.
        config={
            "endpoint": location.endpoint,
            "region": location.region,
            "virtual_hosted_style_request": location.virtual_hosted,
            "access_key_id": location.credentials.access_key_id,
            "secret_access_key": location.credentials.secret_access_key,
            **({"session_token": token} if (token := location.credentials.session_token) else {}),
            "unsigned_payload": False,
            "skip_signature": False,
        },
        client_options=options,
        # The attempts are counted in one place, archive.s3_retries.
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=0)},
    )


class _S3Writer:
    def __init__(self, store: S3ObjectStore, name: str) -> None:
        self._store, self._name = store, name
        self._size, self._digests = 0, [_md5()]
        self._fd = -1
        # No name: nothing to sweep after a crash.
        with self._spooling(), tempfile.TemporaryFile(dir=store.spool_dir) as file:
            self._fd = os.dup(file.fileno())

    @contextlib.contextmanager
    def _spooling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.abort()
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StoreFullError(f"no space left in {self._store.spool_dir} for {self._name}") from error
            raise StoreAwayError(f"cannot spool {self._name}: {error.strerror}") from error

    def write(self, data: bytes | memoryview) -> None:
        with self._spooling():
            write_all(self._fd, data)
        rest = memoryview(data)
        while rest:
            room = self._store.part_bytes * len(self._digests) - self._size
            if room == 0:
                self._digests.append(_md5())
                continue
            piece, rest = rest[:room], rest[room:]
            self._digests[-1].update(piece)
            self._size += len(piece)

    def pread(self, offset: int, length: int) -> bytes:
        with self._spooling():
            return os.pread(self._fd, length, offset)

    def commit(self, name: str | None = None) -> None:
        target = checked_name(name) if name else self._name
        what, writing = f"cannot store {target}", self._store.writing
        try:
            if not self._store.commits.acquire(timeout=writing.give_up_s):
                raise StoreAwayError(f"{what}: the store is slow, and others wait for it")
            try:
                retrying(what, writing, lambda: self._attempt(target))
            finally:
                self._store.commits.release()
        finally:
            self.abort()

    def _attempt(self, target: str) -> None:
        if len(self._digests) == 1:
            answer = self._put_whole(target)
            expected = self._digests[0].hexdigest()
        else:
            answer = self._put_parts(target)
            of_parts = b"".join(digest.digest() for digest in self._digests)
            expected = f"{_md5(of_parts).hexdigest()}-{len(self._digests)}"
        e_tag = str(answer["e_tag"]).strip('"')
        if e_tag != expected:
            # What it has now is not what was written: away with it, unless a twin has replaced it meanwhile.
            with contextlib.suppress(Exception):
                if str(obstore.head(self._store.for_writing, target)["e_tag"]).strip('"') == e_tag:
                    obstore.delete(self._store.for_writing, target)
            raise ChecksumError("the store answers with a digest of other bytes")

    def _put_whole(self, target: str) -> Any:
        if self._size == 0:
            return obstore.put(self._store.for_writing, target, b"", use_multipart=False)
        # Not closed here: after a time-out the library may still hold it.
        content = mmap.mmap(self._fd, self._size, access=mmap.ACCESS_READ)
        return obstore.put(self._store.for_writing, target, content, use_multipart=False)

    def _put_parts(self, target: str) -> Any:
        try:
            return obstore.put(
                self._store.for_writing,
                target,
                # A descriptor of its own, with an offset of its own.
                Path(f"/proc/self/fd/{self._fd}"),
                use_multipart=True,
                chunk_size=self._store.part_bytes,
                max_concurrency=1,
            )
        except BaseException:
            # What cannot be removed now, because the store is away, `sweep` removes.
            with contextlib.suppress(StoreError):
                self._store.abort_uploads(self._store.key(target))
            raise

    def abort(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _S3Reader:
    """Reads one version of the object: what has replaced it since is refused, not mixed in."""

    def __init__(self, store: S3ObjectStore, name: str) -> None:
        self._store, self._name = store, name
        meta = retrying(f"cannot open {name}", store.reading, lambda: obstore.head(store.for_reading, name))
        self.size_bytes: int = meta["size"]
        self._e_tag = meta["e_tag"]

    def pread(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size_bytes)
        if end <= offset:
            return b""

        def attempt() -> bytes:
            options: Any = {"range": (offset, end), "if_match": self._e_tag}
            data = bytes(obstore.get(self._store.for_reading, self._name, options=options).bytes())
            if len(data) != end - offset:
                raise ChecksumError(f"the store gives {len(data)} bytes, not {end - offset}")
            return data

        return retrying(f"cannot read {self._name}", self._store.reading, attempt)

    def pread_at_hand(self, offset: int, length: int) -> bytes:
        if length <= 0 or offset >= self.size_bytes:
            return b""
        raise NotAtHandError(self._name)

    def close(self) -> None:
        pass


def _md5(data: bytes = b"") -> Any:
    # The one digest that every S3 store gives; against accidents only, the footage bears its own.
    return hashlib.md5(data, usedforsecurity=False)
