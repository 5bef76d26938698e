"""Whatever was written in whatever pieces is read back as its plain slices, and nothing altered is read."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.cipher import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SEALED_CHUNK_BYTES,
    TAG_BYTES,
    ChunkReader,
    ChunkSealer,
    CipherError,
    ObjectCipher,
    make_header,
    object_secret,
    payload_bytes,
    salt_of,
    seal_index,
    unseal_index,
)

DAY_KEY, SALT = b"k" * 32, b"s" * 32
SECRET = object_secret(DAY_KEY, SALT, "108", "2026-11-20")
# Around the borders of chunks, where mistakes live.
sizes = st.one_of(
    st.integers(0, 3 * CHUNK_BYTES),
    st.builds(
        lambda chunks, more: max(0, chunks * CHUNK_BYTES + more), st.integers(0, 3), st.integers(-2, 2)
    ),
)


def payload(size):
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


def sealed(plain, cuts=(), secret=SECRET, salt=SALT):
    header = make_header(secret, salt)
    sealer = ChunkSealer(ObjectCipher(secret, header))
    edges = [0, *sorted(cut % (len(plain) + 1) for cut in cuts), len(plain)]
    pieces = [plain[start:end] for start, end in pairwise(edges)]
    chunks = [bytes(chunk) for piece in pieces for chunk in sealer.write(piece)]
    return header + b"".join(chunks) + bytes(sealer.finish())


def opened(raw):
    """Size, and a reader; raises as opening an object does."""
    cipher = ObjectCipher(SECRET, raw[:HEADER_BYTES])
    size = payload_bytes(len(raw))
    chunks = -(-(len(raw) - HEADER_BYTES) // SEALED_CHUNK_BYTES)
    reader = ChunkReader(cipher, lambda offset, length: raw[offset : offset + length], chunks)
    reader.chunk(chunks - 1)
    return size, reader


def whole(raw):
    size, reader = opened(raw)
    return reader.read(0, size)


@given(sizes, st.lists(st.integers(0, 2**20), max_size=8), st.data())
def test_any_range_equals_the_plain_slice_however_it_was_written(size, cuts, data):
    plain = payload(size)
    raw = sealed(plain, cuts)
    assert raw == sealed(plain)
    found, reader = opened(raw)
    assert found == size
    for _ in range(3):
        offset = data.draw(st.integers(0, size))
        length = data.draw(st.integers(0, size - offset))
        assert reader.read(offset, length) == plain[offset : offset + length]


def test_what_is_missing_when_it_is_read_is_refused_and_what_is_not_at_hand_is_read_later():
    plain = payload(4 * CHUNK_BYTES)
    _, reader = opened(sealed(plain))
    for missing in (0, 1, SEALED_CHUNK_BYTES - 1, SEALED_CHUNK_BYTES, 2 * SEALED_CHUNK_BYTES + 7):
        with pytest.raises(CipherError, match=r"altered|cut off"):
            reader.view(10, 3 * CHUNK_BYTES, lambda offset, length, kept=missing: bytes(kept))

    def away(offset, length):
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        reader.view(10, 3 * CHUNK_BYTES, away)
    assert reader.read(10, 3 * CHUNK_BYTES) == plain[10 : 3 * CHUNK_BYTES + 10]


def test_an_object_is_sealed_as_it_was_in_every_release():
    # Of pieces that end inside a chunk, at its end, and are empty.
    raw = sealed(payload(3 * CHUNK_BYTES + 5), (7, CHUNK_BYTES, CHUNK_BYTES, 100_000))
    golden = "5ab584c48af1740cf8752f5284c74b3d7eeb5e1a10b6489917008d4ecb8233ab"
    assert hashlib.sha256(raw).hexdigest() == golden


@given(sizes, st.data())
def test_any_flipped_bit_is_refused(size, data):
    raw = bytearray(sealed(payload(size)))
    place = data.draw(st.one_of(st.integers(0, len(raw) - 1), st.integers(0, HEADER_BYTES - 1)))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CipherError):
        whole(bytes(raw))


@given(sizes, st.data())
def test_an_object_that_was_cut_or_extended_is_refused_at_its_opening(size, data):
    raw = sealed(payload(size))
    chunk_ends = [HEADER_BYTES + n * SEALED_CHUNK_BYTES for n in range(1 + len(raw) // SEALED_CHUNK_BYTES)]
    shorter = [end for end in chunk_ends if end < len(raw)]
    cut = data.draw(st.one_of(st.integers(0, len(raw) - 1), st.sampled_from(shorter)))
    more = data.draw(st.one_of(st.binary(min_size=1, max_size=40), st.just(raw[-SEALED_CHUNK_BYTES:])))
    for wrong in (raw[:cut], raw + more):
        with pytest.raises(CipherError):
            opened(wrong)


def test_chunks_that_change_places_are_refused():
    raw = sealed(payload(3 * CHUNK_BYTES))
    header, body = raw[:HEADER_BYTES], raw[HEADER_BYTES:]
    first, second, third = (body[n * SEALED_CHUNK_BYTES :][:SEALED_CHUNK_BYTES] for n in range(3))
    other = sealed(payload(3 * CHUNK_BYTES), salt=b"t" * 32)[HEADER_BYTES:][:SEALED_CHUNK_BYTES]
    for chunks in (
        (second, first, third),
        (first, first, third),
        (first, third, second),
        (other, second, third),
    ):
        with pytest.raises(CipherError):
            whole(header + b"".join(chunks))


def test_another_object_of_the_day_another_day_and_another_room_have_other_secrets():
    others = {
        SECRET,
        object_secret(DAY_KEY, b"t" * 32, "108", "2026-11-20"),
        object_secret(DAY_KEY, SALT, "108", "2026-11-21"),
        object_secret(DAY_KEY, SALT, "116", "2026-11-20"),
    }
    assert len(others) == 4
    for other in others - {SECRET}:
        with pytest.raises(CipherError, match="another key"):
            ObjectCipher(other, make_header(SECRET, SALT))


def test_an_object_without_cipher_is_refused_in_words():
    with pytest.raises(CipherError, match="cipher 0"):
        salt_of(b"PROTOKOL" + bytes([0, 1, 0, 0]) + bytes(HEADER_BYTES - 12))
    with pytest.raises(CipherError, match="header"):
        salt_of(bytes(HEADER_BYTES))


@given(st.integers(0, 10 * SEALED_CHUNK_BYTES))
def test_a_size_is_of_one_payload_or_of_none(size):
    try:
        plain = payload_bytes(size)
    except CipherError:
        return
    chunks = max(1, -(-plain // CHUNK_BYTES))
    assert size == HEADER_BYTES + plain + chunks * TAG_BYTES


@given(st.binary(max_size=300), st.data())
def test_a_sample_index_opens_as_it_was_sealed_or_not_at_all(plain, data):
    found = seal_index(SECRET, SALT, plain)
    assert found == seal_index(SECRET, SALT, plain)
    assert unseal_index(SECRET, found) == plain
    wrong = bytearray(found)
    wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= 1
    for each in (bytes(wrong), found[:-1], b""):
        with pytest.raises(CipherError):
            unseal_index(SECRET, each)
