"""The cipher of objects and of sample indexes. Pure: bytes and keys in, bytes out.

A sealed object is a header of HEADER_BYTES, then chunks in the STREAM construction: CHUNK_BYTES of payload
each (the last one fewer, or none), under AES-256-GCM, each followed by its tag. A chunk's nonce is the
object's prefix, the chunk's number and whether it is the last; the header is its associated data. Hence a
chunk that is cut off, moved, doubled or added is refused as one that was altered is, and any chunk can be
opened alone.

    room-day key ─ HKDF(salt of the object; room, date) → object secret ─┬ HKDF → footage key, nonce prefix
                                                                         ├ HKDF → key of the header's tag
                                                                         └ HKDF → key of the sample index

The salt is random for each object *written*: no retry and no twin ever meets the same key and nonce. An
object secret opens that object and its sample index, nothing else of the day.
"""

from __future__ import annotations

import hmac
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recorder.errors import ProtokolError

KEY_BYTES = 32
SALT_BYTES = 32
TAG_BYTES = 16
CHUNK_BYTES = 64 * 1024
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES

MAGIC = b"PROTOKOL"
VERSION = 1
# Cipher 0 was "none": such objects were written before the first release only, and are refused.
CIPHER = 1
# magic, version, cipher, payload bytes of a chunk, salt; then the tag over all of them.
_HEADER = struct.Struct(f">8sHHI{SALT_BYTES}s")
HEADER_BYTES = _HEADER.size + TAG_BYTES

# prefix, number of the chunk, 1 for the last one: the 12 bytes of GCM. 2^32 chunks are 256 TiB.
_NONCE = struct.Struct(">7sIB")
_PREFIX_BYTES = 7

_INDEX_FORMAT = b"PSIE\x01"
INDEX_HEADER_BYTES = len(_INDEX_FORMAT) + SALT_BYTES

Pread = Callable[[int, int], bytes | memoryview]


class CipherError(ProtokolError):
    """What was read is not what was sealed: altered, cut, extended, or sealed under another key."""


def object_secret(day_key: bytes, salt: bytes, room: str, date: str) -> bytes:
    """What opens one object of a room-day, and its sample index; KEY_BYTES."""
    info = f"protokol object v1|{room}|{date}".encode()
    return HKDF(SHA256(), KEY_BYTES, salt, info).derive(day_key)


def _derive(secret: bytes, purpose: str, length: int) -> bytes:
    return HKDF(SHA256(), length, None, f"protokol {purpose} v1".encode()).derive(secret)


def make_header(secret: bytes, salt: bytes) -> bytes:
    body = _HEADER.pack(MAGIC, VERSION, CIPHER, CHUNK_BYTES, salt)
    return body + _header_tag(secret, body)


def salt_of(header: bytes) -> bytes:
    """The salt that a header names; ObjectCipher checks whether to believe it. Raises CipherError."""
    if len(header) != HEADER_BYTES:
        raise CipherError("bears no header: it is shorter than one")
    magic, version, cipher, chunk_bytes, salt = _HEADER.unpack_from(header)
    if magic != MAGIC:
        raise CipherError("bears no header of an object of this archive")
    if (version, cipher, chunk_bytes) != (VERSION, CIPHER, CHUNK_BYTES):
        raise CipherError(
            f"bears a header that this version does not read: version {version}, cipher {cipher}"
        )
    return bytes(salt)


def _header_tag(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(_derive(secret, "header", KEY_BYTES), body, "sha256")[:TAG_BYTES]


def payload_bytes(sealed_bytes: int) -> int:
    """Of an object of `sealed_bytes`, header included. Raises CipherError for a size that none has."""
    body = sealed_bytes - HEADER_BYTES
    whole, rest = divmod(body, SEALED_CHUNK_BYTES)
    # The last chunk is empty in an empty object only.
    if body < TAG_BYTES or 0 < rest < TAG_BYTES or (rest == TAG_BYTES and whole > 0):
        raise CipherError("was cut off or extended: no object has that size")
    return body - TAG_BYTES * (whole + (rest > 0))


class ObjectCipher:
    """Chunks of one object. Safe to share between threads."""

    def __init__(self, secret: bytes, header: bytes) -> None:
        """Raises CipherError for a header that was not made with this secret."""
        salt_of(header)
        if not hmac.compare_digest(header[_HEADER.size :], _header_tag(secret, header[: _HEADER.size])):
            raise CipherError("bears a header that was altered, or was sealed under another key")
        material = _derive(secret, "footage", KEY_BYTES + _PREFIX_BYTES)
        self._gcm = AESGCM(material[:KEY_BYTES])
        self._prefix = material[KEY_BYTES:]
        self._header = header

    def seal(self, number: int, data: memoryview, *, last: bool, into: memoryview) -> None:
        """`into` takes the data and TAG_BYTES more, no less and no more."""
        self._gcm.encrypt_into(_NONCE.pack(self._prefix, number, last), data, self._header, into)

    def unseal(self, number: int, sealed: bytes | memoryview, *, last: bool) -> bytes:
        """Raises CipherError."""
        try:
            return self._gcm.decrypt(_NONCE.pack(self._prefix, number, last), sealed, self._header)
        except InvalidTag as error:
            raise _altered(number) from error

    def unseal_into(self, number: int, sealed: memoryview, *, last: bool, into: memoryview) -> None:
        """`into` takes what was sealed, no less and no more. Raises CipherError."""
        if len(sealed) < TAG_BYTES:
            raise _altered(number)
        try:
            self._gcm.decrypt_into(_NONCE.pack(self._prefix, number, last), sealed, self._header, into)
        except InvalidTag as error:
            raise _altered(number) from error


def _altered(number: int) -> CipherError:
    return CipherError(f"was altered: chunk {number} is not what was sealed")


class ChunkSealer:
    """Payload in pieces of any size, sealed chunks out. Nothing of a piece is kept but its copy.

    A sealed chunk is a view of the one buffer that every chunk is sealed into, so that it stays in the
    processor's cache: it is to be written before the next one is asked for.
    """

    def __init__(self, cipher: ObjectCipher) -> None:
        self._cipher = cipher
        self.sealed_chunks = 0
        self._sealed = memoryview(bytearray(SEALED_CHUNK_BYTES))
        # A full chunk waits too, because it may be the last.
        self._pending = memoryview(bytearray(CHUNK_BYTES))
        self.pending_bytes = 0

    @property
    def pending(self) -> bytes:
        """The payload that is in no chunk yet; CHUNK_BYTES at most."""
        return bytes(self._pending[: self.pending_bytes])

    def write(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """The chunks that are complete and not the last. Must be exhausted before the next call."""
        view = memoryview(data)
        if self.pending_bytes and self.pending_bytes + len(view) > CHUNK_BYTES:
            missing = CHUNK_BYTES - self.pending_bytes
            self._pending[self.pending_bytes :] = view[:missing]
            view = view[missing:]
            self.pending_bytes = 0
            yield self._seal(self._pending)
        while self.pending_bytes + len(view) > CHUNK_BYTES:
            chunk, view = view[:CHUNK_BYTES], view[CHUNK_BYTES:]
            yield self._seal(chunk)
        end = self.pending_bytes + len(view)
        self._pending[self.pending_bytes : end] = view
        self.pending_bytes = end

    def finish(self) -> memoryview:
        """The last chunk; there is always one."""
        return self._seal(self._pending[: self.pending_bytes], last=True)

    def _seal(self, chunk: memoryview, *, last: bool = False) -> memoryview:
        sealed = self._sealed[: len(chunk) + TAG_BYTES]
        self._cipher.seal(self.sealed_chunks, chunk, last=last, into=sealed)
        self.sealed_chunks += 1
        return sealed


class ChunkReader:
    """The payload of one object, by offset; keeps the chunks that reads ended in. One thread at a time."""

    # Reads run forward and seldom look back further than a chunk.
    _KEPT = 2
    # Opened into one buffer again and again, for new memory costs more than the cipher; one for longer reads
    # is not kept.
    _KEPT_BUFFER_BYTES = 2**20

    def __init__(self, cipher: ObjectCipher, pread: Pread, chunks: int | None) -> None:
        """`pread` reads the sealed object, header included. `chunks`: how many there are, the last one
        included; None while the object is being written, when no chunk asked for is the last.
        """
        self._cipher, self._pread, self._chunks = cipher, pread, chunks
        self._opened: OrderedDict[int, bytes] = OrderedDict()
        self._buffer = bytearray()

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, all of them inside the payload; none for a length below 1.

        Raises CipherError, and what `pread` does.
        """
        return bytes(self.view(offset, length))

    def view(self, offset: int, length: int, pread: Pread | None = None) -> bytes | memoryview:
        """As `read`; a view holds until the next reading. `pread`: instead of the usual one, this once."""
        if length <= 0:
            return b""
        pread = pread or self._pread
        first, last = offset // CHUNK_BYTES, (offset + length - 1) // CHUNK_BYTES
        start = offset - first * CHUNK_BYTES
        if first == last:
            return self.chunk(first, pread)[start : start + length]
        return self._run(first, last, pread, start, start + length)

    def chunk(self, number: int, pread: Pread | None = None) -> bytes:
        """One chunk whole. Raises CipherError."""
        known = self._opened.get(number)
        if known is not None:
            self._opened.move_to_end(number)
            return known
        sealed = (pread or self._pread)(_place(number), SEALED_CHUNK_BYTES)
        return self._keep(number, self._cipher.unseal(number, sealed, last=self._is_last(number)))

    def _run(self, first: int, last: int, pread: Pread, start: int, end: int) -> memoryview:
        """Bytes `[start, end)` of neighbouring chunks, by one read of the store less those open already."""
        opened = self._room((last - first + 1) * CHUNK_BYTES)
        number = first
        while number <= last and number in self._opened:
            known = self._opened[number]
            at = (number - first) * CHUNK_BYTES
            opened[at : at + len(known)] = known
            number += 1
        if number <= last:
            sealed = memoryview(pread(_place(number), (last - number + 1) * SEALED_CHUNK_BYTES))
            at = (number - first) * CHUNK_BYTES
            while sealed:
                each, sealed = sealed[:SEALED_CHUNK_BYTES], sealed[SEALED_CHUNK_BYTES:]
                into = opened[at : at + len(each) - TAG_BYTES]
                self._cipher.unseal_into(number, each, last=self._is_last(number), into=into)
                at, number = at + CHUNK_BYTES, number + 1
            if number != last + 1:
                raise CipherError(f"was cut off: chunk {number} is not there")
            if end % CHUNK_BYTES:
                # The next read begins in it.
                self._keep(last, bytes(into))
        return opened[start:end]

    def _room(self, size_bytes: int) -> memoryview:
        if size_bytes > self._KEPT_BUFFER_BYTES:
            return memoryview(bytearray(size_bytes))
        if size_bytes > len(self._buffer):
            self._buffer = bytearray(size_bytes)
        return memoryview(self._buffer)

    def _is_last(self, number: int) -> bool:
        return self._chunks == number + 1

    def _keep(self, number: int, plain: bytes) -> bytes:
        self._opened[number] = plain
        if len(self._opened) > self._KEPT:
            self._opened.popitem(last=False)
        return plain


def _place(number: int) -> int:
    """Where a chunk begins in the sealed object."""
    return HEADER_BYTES + number * SEALED_CHUNK_BYTES


def seal_index(secret: bytes, salt: bytes, plain: bytes) -> bytes:
    """A sample index under its object's secret, bearing the salt by which the secret is found.

    AES-SIV: the same index of the same object is the same bytes however often it is sealed, and two
    different ones under one key betray nothing but that they differ.
    """
    header = _INDEX_FORMAT + salt
    return header + AESSIV(_derive(secret, "sample index", 2 * KEY_BYTES)).encrypt(plain, [header])


def salt_of_index(sealed: bytes) -> bytes:
    """Raises CipherError for what `seal_index` did not make."""
    if len(sealed) < INDEX_HEADER_BYTES + TAG_BYTES or not sealed.startswith(_INDEX_FORMAT):
        raise CipherError("not a sealed sample index of a known version; rebuild it from the segment")
    return sealed[len(_INDEX_FORMAT) : INDEX_HEADER_BYTES]


def unseal_index(secret: bytes, sealed: bytes) -> bytes:
    """Raises CipherError."""
    salt_of_index(sealed)
    header, body = sealed[:INDEX_HEADER_BYTES], sealed[INDEX_HEADER_BYTES:]
    try:
        return AESSIV(_derive(secret, "sample index", 2 * KEY_BYTES)).decrypt(body, [header])
    except InvalidTag as error:
        raise CipherError("the sample index was altered, or was sealed under another key") from error
