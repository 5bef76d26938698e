"""A certificate's body and signature, without a database."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.certificate import body, digest_of, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TOMBSTONE = {
    "room": "228-a",
    "date": "2026-11-20",
    "due_us": 100,
    "purged_us": 101,
    "clock": "system",
    "configuration_version": 3,
    "plan_sha256": "f" * 64,
    "segments": [
        {"id": "b", "start_us": 20, "end_us": 30, "size_bytes": 7, "sha256": "b" * 64},
        {"id": "a", "start_us": 10, "end_us": 20, "size_bytes": 5, "sha256": "a" * 64},
    ],
    "quarantined": [{"id": 1, "size_bytes": 3, "sha256": "c" * 64}],
    "gaps": [{"id": "g", "start_us": 30, "end_us": 45}],
    "kept": [{"hold": 7, "items": [["segment", "k"]]}],
}


def made(**changes):
    options = {
        "number": 2,
        "previous_sha256": "e" * 64,
        "room_label": "228-А",
        "also_recorded_by": ["security desk recorder"],
        "issued_us": 102,
    }
    return body(TOMBSTONE, **{**options, **changes})


def test_it_tells_what_was_destroyed_what_was_kept_and_where():
    document = made()
    assert document["destroyed"] == {
        "segments": 2,
        "quarantined": 1,
        "gap_records": 1,
        "size_bytes": 15,
        "start_us": 10,
        "end_us": 45,
        "objects_sha256": digest_of(["a" * 64, "b" * 64, "c" * 64]),
    }
    assert document["kept"] == [{"hold": 7, "items": [["segment", "k"]]}]
    assert document["room"] == {"id": "228-a", "label": "228-А"}
    assert document["also_recorded_by"] == ["security desk recorder"]
    assert "in this system" in document["scope"]["en"]


def test_an_empty_day_has_no_interval():
    empty = {**TOMBSTONE, "segments": [], "quarantined": [], "gaps": [], "kept": []}
    document = body(empty, number=1, previous_sha256=None, room_label="108", also_recorded_by=[], issued_us=1)
    assert document["destroyed"]["start_us"] is None
    assert document["destroyed"]["size_bytes"] == 0


def test_the_digest_of_objects_depends_on_the_objects_alone():
    assert digest_of(["b", "a"]) == digest_of(["a", "b"])
    assert digest_of(["a"]) != digest_of(["a", "a"])


def test_the_signature_covers_every_byte():
    signed = sign(made(), KEY)
    signature = base64.b64decode(signed.signature)
    KEY.public_key().verify(signature, signed.encoded.encode())
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(signature, signed.encoded.replace("228-a", "228-b").encode())


def test_the_chain_digest_covers_the_signature_too():
    other = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    first, second = sign(made(), KEY), sign(made(), other)
    assert first.encoded == second.encoded
    assert first.sha256 != second.sha256


def test_the_tombstone_is_bound_by_its_digest():
    one = json.loads(sign(made(), KEY).encoded)["tombstone_sha256"]
    changed = {**TOMBSTONE, "purged_us": 999}
    other = body(changed, number=2, previous_sha256=None, room_label="", also_recorded_by=[], issued_us=102)[
        "tombstone_sha256"
    ]
    assert one != other
