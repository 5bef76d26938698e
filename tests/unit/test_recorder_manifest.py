"""One manifest has one form, one digest and one signer."""

from __future__ import annotations

import base64
import json

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from uuid6 import uuid7

from recorder.manifest import (
    MAX_MANIFEST_BYTES,
    GapManifest,
    ManifestError,
    SegmentManifest,
    canonical,
    decode,
    decode_header,
    enrolment_of,
    sign,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
LINK = {
    "room": "108",
    "source": "main",
    "enrolment": enrolment_of(KEY.public_key()),
    "sequence": 0,
    "previous": None,
    "start_us": 1_000_000,
    "end_us": 61_000_000,
    "configuration_version": 1,
    "agent_version": "0.1.0",
    "segment_id": str(uuid7()),
}
GAP = {**LINK, "tracks": ["video", "audio"], "cause": "opening"}
SEGMENT = {
    **LINK,
    "run": str(uuid7()),
    "tracks": [
        {
            "track": "video", "codec": "h264", "timescale": 90_000, "start_ticks": 0,
            "duration_ticks": 5_400_000, "samples": 1500, "codec_sha256": "0" * 64,
            "width": 1280, "height": 720,
        }
    ],
    "clock": {"source": "arrival", "uncertainty_us": 1000, "estimated": True},
    "av_offset_us": 0,
    "microphone": "camera",
    "media_bytes": 10,
    "media_sha256": "0" * 64,
    "recovered": False,
}  # fmt: skip
# Whatever its kind, also of what has no canonical form or one that the standard library does not write.
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_the_canonical_form_is_rfc_8785s(document):
    try:
        expected = rfc8785.dumps(document)
    except rfc8785.CanonicalizationError:
        with pytest.raises(ManifestError):
            canonical(document)
    else:
        assert canonical(document) == expected


def test_integers_end_where_they_are_exact():
    for edge in (2**53 - 1, 1 - 2**53):
        assert canonical({"": edge}) == b'{"":%d}' % edge
        with pytest.raises(ManifestError):
            canonical({"": 2 * edge})
    with pytest.raises(ManifestError):
        canonical({"": 2**53})


@pytest.mark.parametrize("names", [["\U0001f600", "\uffff"], ["b", "a", "é"], ["\x7f", "\x1f", "\\", '"']])
def test_names_are_ordered_by_utf_16_and_escaped_alike(names):
    document = dict.fromkeys(names, "\x00\x1f\x7f\u2028/\\")
    assert canonical(document) == rfc8785.dumps(document)


@pytest.mark.parametrize("manifest", [GapManifest(**GAP), SegmentManifest.model_validate(SEGMENT)])
def test_what_was_signed_is_read_back_the_same(manifest):
    signed = sign(manifest, KEY)
    for read in (decode(signed.encoded), decode_header(signed.header)):
        read.verify(KEY.public_key())
        assert read.manifest == manifest
        assert read.sha256 == signed.sha256
    assert signed.box[:8] == len(signed.box).to_bytes(4, "big") + b"uuid"


def test_another_key_or_another_word_breaks_the_signature():
    signed = sign(GapManifest(**GAP), KEY)
    with pytest.raises(ManifestError, match="signature"):
        signed.verify(Ed25519PrivateKey.generate().public_key())
    changed = decode(signed.encoded.replace(b'"opening"', b'"unknown"'))
    with pytest.raises(ManifestError, match="signature"):
        changed.verify(KEY.public_key())


def test_one_manifest_has_one_form():
    signed = sign(GapManifest(**GAP), KEY)
    spaced = json.dumps(json.loads(signed.encoded), indent=1).encode()
    with pytest.raises(ManifestError, match="canonical"):
        decode(spaced)


@pytest.mark.parametrize(
    "change",
    [
        {"end_us": 1_000_000},
        {"sequence": 1},
        {"previous": "0" * 64},
        {"room": "228-А"},
        {"cause": "laziness"},
        {"tracks": []},
        {"surprise": 1},
        {"start_us": 1.5},
        {"sequence": "0"},
        {"segment_id": "not-a-uuid"},
        {"detail": "x" * 201},
    ],
)
def test_what_breaks_the_rules_is_refused(change):
    with pytest.raises(ValidationError):
        GapManifest(**{**GAP, **change})


def test_a_segment_is_never_longer_than_120_s():
    with pytest.raises(ValidationError, match="120 s"):
        SegmentManifest.model_validate({**SEGMENT, "end_us": 1_000_000 + 120_000_001})


@given(st.binary(max_size=300))
def test_rubbish_is_an_error_never_a_crash(data):
    with pytest.raises(ManifestError):
        decode(data)
    with pytest.raises(ManifestError):
        decode_header(base64.urlsafe_b64encode(data).decode())


def test_deep_and_huge_json_is_refused():
    with pytest.raises(ManifestError, match="limit"):
        decode(b"[" * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(ManifestError):
        decode(b'{"a":' * 3000 + b"1" + b"}" * 3000)
