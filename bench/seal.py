"""What sealing costs: a segment's bytes written and read by chunks, beside plain AES-256-GCM over the same
bytes by the same library in the same run, and ranges of 64 KiB from a sealed object on this disk.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from archive.cipher import (
    CHUNK_BYTES,
    HEADER_BYTES,
    KEY_BYTES,
    SALT_BYTES,
    SEALED_CHUNK_BYTES,
    TAG_BYTES,
    ChunkReader,
    ChunkSealer,
    ObjectCipher,
    make_header,
    object_secret,
)
from archive.key_database import KeyDatabase
from archive.keys import Keys
from archive.local_store import LocalStore
from archive.master_key import MasterKey
from archive.sealed import SealedStore

# A minute at 4 Mbit/s and a little: the segment that `bench ingest` takes in.
_SEGMENT_BYTES = 20 * 2**20
_ROUNDS = 25
# Pieces as the network brings them: no multiple of a chunk.
_PIECE_BYTES = 200_000
# What the web server and the export read at a time.
_READ_BYTES = 256 * 1024
_RANGE_BYTES = 64 * 1024
_RANGES = 2000
_NAME = "108/2026-11-20/bench.mp4"


def run() -> dict[str, Any]:
    """`*_ratio`: time by chunks over time of plain AES-GCM, medians of pairs in turn; 1.25 is the bar.

    Plain is one call over all bytes into a buffer that stands: getting 20 MB from the system at
    each call can cost as much again as the cipher, and would hide what chunks cost. Reading by chunks also
    copies them from the sealed object, as pread.
    """
    data = os.urandom(_SEGMENT_BYTES)
    return {**_ciphers(data), **_ranges(data)}


def _ciphers(data: bytes) -> dict[str, Any]:
    salt = os.urandom(SALT_BYTES)
    secret = object_secret(os.urandom(KEY_BYTES), salt, "108", "2026-11-20")
    header = make_header(secret, salt)
    plain = AESGCM(os.urandom(KEY_BYTES))
    nonce = bytes(12)
    view = memoryview(data)
    pieces = [bytes(view[start : start + _PIECE_BYTES]) for start in range(0, len(data), _PIECE_BYTES)]

    def seal(keep: Callable[[memoryview], object]) -> None:
        sealer = ChunkSealer(ObjectCipher(secret, header))
        for piece in pieces:
            for chunk in sealer.write(piece):
                keep(chunk)
        keep(sealer.finish())

    sealed = bytearray(header)
    seal(sealed.extend)
    raw = memoryview(sealed)
    whole, opened = bytearray(len(data) + TAG_BYTES), bytearray(len(data))
    chunks = -(-(len(raw) - HEADER_BYTES) // SEALED_CHUNK_BYTES)

    def read() -> None:
        cipher = ObjectCipher(secret, header)
        reader = ChunkReader(cipher, lambda offset, length: bytes(raw[offset : offset + length]), chunks)
        for offset in range(0, len(data), _READ_BYTES):
            reader.read(offset, min(_READ_BYTES, len(data) - offset))

    encrypt = _pairs(lambda: seal(len), lambda: plain.encrypt_into(nonce, data, None, whole))
    decrypt = _pairs(read, lambda: plain.decrypt_into(nonce, whole, None, opened))
    return {
        "encrypt_ratio": round(encrypt[0] / encrypt[1], 3),
        "encrypt_chunks_mb_s": round(len(data) / encrypt[0] / 1e6),
        "encrypt_plain_mb_s": round(len(data) / encrypt[1] / 1e6),
        "decrypt_ratio": round(decrypt[0] / decrypt[1], 3),
        "decrypt_chunks_mb_s": round(len(data) / decrypt[0] / 1e6),
        "decrypt_plain_mb_s": round(len(data) / decrypt[1] / 1e6),
        "chunk_bytes": CHUNK_BYTES,
    }


def _pairs(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of CPU of each, measured in turn so that both meet the same machine."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for side, act in zip(times, (ours, theirs), strict=True):
            began = time.thread_time()
            act()
            side.append(time.thread_time() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def _ranges(data: bytes) -> dict[str, Any]:
    """Of 64 KiB at random offsets: from an open object, and with its opening (header, last chunk)."""
    with tempfile.TemporaryDirectory(prefix="protokol-bench-") as directory:
        database = KeyDatabase(f"sqlite:///{Path(directory) / 'keys.sqlite'}")
        database.create()
        keys = Keys(database, MasterKey(os.urandom(KEY_BYTES)))
        store = SealedStore(LocalStore(Path(directory) / "footage"), keys)
        writer = store.writer(_NAME)
        writer.write(data)
        writer.commit()
        places = random.Random(1)
        reading, opening = [], []
        reader = store.open(_NAME)
        for _ in range(_RANGES):
            offset = places.randrange(len(data) - _RANGE_BYTES)
            began = time.perf_counter()
            reader.pread(offset, _RANGE_BYTES)
            reading.append(time.perf_counter() - began)
            began = time.perf_counter()
            fresh = store.open(_NAME)
            fresh.pread(offset, _RANGE_BYTES)
            fresh.close()
            opening.append(time.perf_counter() - began)
        reader.close()
        keys.close()
    return {
        "range_64k_p50_ms": _percentile_ms(reading, 50),
        "range_64k_p99_ms": _percentile_ms(reading, 99),
        "open_and_range_64k_p50_ms": _percentile_ms(opening, 50),
        "open_and_range_64k_p99_ms": _percentile_ms(opening, 99),
    }


def _percentile_ms(seconds: list[float], percent: int) -> float:
    return round(statistics.quantiles(seconds, n=100)[percent - 1] * 1000, 3)
