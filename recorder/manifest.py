"""The manifest: what an agent signs about each segment and each gap, and what the archive accepts.

Canonical JSON (RFC 8785), signed with Ed25519 by the room's key. Manifests of one source and one
enrolment form a chain: `sequence` counts from 0 without holes, `previous` is the SHA-256 of the
predecessor's signed canonical form. A gap is a manifest without media on the same chain.

Pure: no clock, no file, no network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from recorder.errors import ProtokolError
from recorder.intervals import Interval

FORMAT_VERSION = 1
# The last box of a segment file: `uuid`, this 16-byte type, then the signed canonical JSON.
MANIFEST_BOX_UUID = UUID("70726f74-6f6b-4f6c-8d61-6e6966657374")
MAX_MANIFEST_BYTES = 16 * 1024
# Design: about 60 s, never over 120 s. The archive bounds its overlap query by it.
MAX_SEGMENT_US = 120 * 1_000_000
# A microphone is believed after a second, given up after most of one: about so often in two minutes.
MAX_SWITCHES = 64
# Names of sound devices may be longer; they are cut.
MAX_MICROPHONE_CHARACTERS = 64

_HEX64 = r"^[0-9a-f]{64}$"
_ID = r"^[a-z0-9][a-z0-9-]{0,31}$"
_UUID7 = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
# JSON numbers are doubles: integers are exact up to 2^53 (RFC 8785 section 3.2.2.3).
_Exact = Annotated[int, Field(ge=0, lt=2**53)]
_Digest = Annotated[str, Field(pattern=_HEX64)]
_RoomId = Annotated[str, Field(pattern=_ID)]
_Uuid7 = Annotated[str, Field(pattern=_UUID7)]


class ManifestError(ProtokolError):
    """A manifest that cannot be read, breaks its own rules, or bears a wrong signature."""


class Track(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"


class GapCause(StrEnum):
    """Why a track is missing inside a recording window (design, *Terms*)."""

    OPENING = "opening"
    CAMERA_UNREACHABLE = "camera_unreachable"
    CAMERA_STALLED = "camera_stalled"
    MICROPHONE_LOST = "microphone_lost"
    AGENT_DOWN = "agent_down"
    POWER_LOST = "power_lost"
    MAINTENANCE = "maintenance"
    RESTART = "restart"
    OVERLOAD = "overload"
    SPOOL_FULL = "spool_full"
    DISK_ERROR = "disk_error"
    CLOCK_STEP = "clock_step"
    CLOCK_UNKNOWN = "clock_unknown"
    LOST_IN_CRASH = "lost_in_crash"
    UNKNOWN = "unknown"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ClockStatement(_Strict):
    """How UTC was known: `estimated` is True before trusted time or before the first sender report."""

    source: Literal["sender_report", "arrival"]
    uncertainty_us: _Exact
    estimated: bool


class SyncStatement(_Strict):
    """How far sound is from picture, by what the clocks know at the segment's beginning: sound minus
    picture is `offset_us`, give or take `uncertainty_us`. The calibrated `av_offset_us` is not in it.
    """

    offset_us: Annotated[int, Field(gt=-(2**31), lt=2**31)]
    uncertainty_us: Annotated[int, Field(ge=0, lt=2**31)]


class MicrophoneSwitch(_Strict):
    """From `at_us` on the segment's sound is that of another microphone."""

    at_us: _Exact
    microphone: Annotated[str, Field(max_length=MAX_MICROPHONE_CHARACTERS)]


class TrackStatement(_Strict):
    """One track of a segment. Media time is in ticks of `timescale`; `start_ticks` is the first
    presentation time, `duration_ticks` the sum of sample durations.
    """

    track: Literal["video", "audio"]
    codec: Annotated[str, Field(max_length=32)]
    timescale: Annotated[int, Field(gt=0, le=10_000_000)]
    start_ticks: _Exact
    duration_ticks: _Exact
    samples: _Exact
    codec_sha256: _Digest
    width: Annotated[int, Field(ge=0, le=16_384)] = 0
    height: Annotated[int, Field(ge=0, le=16_384)] = 0
    sample_rate: Annotated[int, Field(ge=0, le=384_000)] = 0
    channels: Annotated[int, Field(ge=0, le=64)] = 0


class _Link(_Strict):
    """What a segment and a gap have in common: whose, where on the chain, and when."""

    format: Literal[1] = 1
    room: _RoomId
    source: _RoomId
    enrolment: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    sequence: _Exact
    previous: _Digest | None
    start_us: _Exact
    end_us: _Exact
    configuration_version: _Exact
    agent_version: Annotated[str, Field(max_length=32)]
    segment_id: _Uuid7

    @model_validator(mode="after")
    def _consistent(self) -> _Link:
        if self.end_us <= self.start_us:
            raise ValueError("end_us must be after start_us")
        if (self.previous is None) != (self.sequence == 0):
            raise ValueError("`previous` is null for sequence 0 and for no other")
        return self

    @property
    def interval(self) -> Interval:
        return Interval(self.start_us, self.end_us)


class SegmentManifest(_Link):
    """About one stored file. `media_bytes` and `media_sha256` cover the file up to the manifest box.

    `microphone` is what its sound begins with (`camera`, `none`, or the name in the rooms file), `switches`
    what follows it; `sync` is None where there is no picture or no sound.
    """

    kind: Literal["segment"] = "segment"
    run: _Uuid7
    tracks: Annotated[list[TrackStatement], Field(min_length=1, max_length=2)]
    clock: ClockStatement
    av_offset_us: Annotated[int, Field(gt=-(2**31), lt=2**31)]
    microphone: Annotated[str, Field(max_length=MAX_MICROPHONE_CHARACTERS)]
    switches: Annotated[list[MicrophoneSwitch], Field(max_length=MAX_SWITCHES)] = []
    sync: SyncStatement | None = None
    media_bytes: _Exact
    media_sha256: _Digest
    recovered: bool

    @model_validator(mode="after")
    def _bounded(self) -> SegmentManifest:
        if self.end_us - self.start_us > MAX_SEGMENT_US:
            raise ValueError("a segment is never longer than 120 s")
        if len({t.track for t in self.tracks}) != len(self.tracks):
            raise ValueError("a track is stated twice")
        return self


class GapManifest(_Link):
    """About an interval of a recording window in which tracks are missing.

    `segment_id` is the gap's own id: both kinds travel and are acknowledged under one.
    """

    kind: Literal["gap"] = "gap"
    tracks: Annotated[list[Literal["video", "audio"]], Field(min_length=1, max_length=2)]
    cause: Literal[
        "opening", "camera_unreachable", "camera_stalled", "microphone_lost", "agent_down", "power_lost",
        "maintenance", "restart", "overload", "spool_full", "disk_error", "clock_step", "clock_unknown",
        "lost_in_crash", "unknown",
    ]  # fmt: skip
    detail: Annotated[str, Field(max_length=200)] = ""


Manifest = Annotated[SegmentManifest | GapManifest, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[SegmentManifest | GapManifest] = TypeAdapter(Manifest)


# Members in the order of code points: of ASCII names that is RFC 8785's order by UTF-16.
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_EXACT = 2**53


def canonical(document: dict[str, Any]) -> bytes:
    """RFC 8785 bytes; raises ManifestError for what has none (NaN, integers beyond 2^53)."""
    try:
        # A tombstone of 540 segments, written while ingest waits: a third of the time.
        return _encode(document).encode() if _is_plain(document) else rfc8785.dumps(document)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError) as error:
        raise ManifestError(f"no canonical form: {error}") from error


def _is_plain(value: Any) -> bool:
    """Whether the standard library writes RFC 8785's bytes of it: no floats, no name that sorts otherwise."""
    if type(value) is dict:
        if not "".join(value).isascii():
            return False
        value = value.values()
    elif type(value) is not list:
        value = (value,)
    for each in value:
        kind = type(each)
        if kind is int:
            if not -_EXACT < each < _EXACT:
                return False
        elif kind is dict or kind is list:
            if not _is_plain(each):
                return False
        elif not (kind is str or each is None or kind is bool):
            return False
    return True


class SignedManifest:
    """A manifest with its signature: `encoded` is the canonical JSON with the member `signature`
    (base64 of Ed25519 over the canonical JSON without it); `sha256` of `encoded` links the chain.
    """

    __slots__ = ("encoded", "manifest", "signature")

    def __init__(self, manifest: SegmentManifest | GapManifest, signature: bytes) -> None:
        self.manifest = manifest
        self.signature = signature
        body = manifest.model_dump(mode="json")
        self.encoded = canonical({**body, "signature": base64.b64encode(signature).decode()})

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.encoded).hexdigest()

    @property
    def header(self) -> str:
        """As it travels in the `Protokol-Manifest` header: unpadded base64url."""
        return base64.urlsafe_b64encode(self.encoded).rstrip(b"=").decode()

    @property
    def box(self) -> bytes:
        """The trailing `uuid` box of a segment file."""
        size = 8 + 16 + len(self.encoded)
        return size.to_bytes(4, "big") + b"uuid" + MANIFEST_BOX_UUID.bytes + self.encoded

    def verify(self, public_key: Ed25519PublicKey) -> None:
        """Raises ManifestError unless `public_key` signed exactly this manifest."""
        try:
            public_key.verify(self.signature, canonical(self.manifest.model_dump(mode="json")))
        except InvalidSignature as error:
            raise ManifestError("the signature does not match the manifest and the room's key") from error


def sign(manifest: SegmentManifest | GapManifest, key: Ed25519PrivateKey) -> SignedManifest:
    return SignedManifest(manifest, key.sign(canonical(manifest.model_dump(mode="json"))))


def decode(encoded: bytes) -> SignedManifest:
    """Signed canonical JSON → manifest. The signature is *not* verified: the caller has the key.

    Raises ManifestError for anything but exactly the canonical form of a valid manifest, so that
    one manifest has one digest.
    """
    if len(encoded) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"manifest of {len(encoded)} bytes; the limit is {MAX_MANIFEST_BYTES}")
    try:
        document = TypeAdapter(dict[str, Any]).validate_json(encoded)
        signature = base64.b64decode(str(document.pop("signature", "")), validate=True)
        signed = SignedManifest(_ADAPTER.validate_python(document), signature)
    except (ValidationError, ValueError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else error
        raise ManifestError(f"unreadable manifest: {reason}"[:500]) from error
    if signed.encoded != encoded:
        raise ManifestError("manifest is not in its canonical form")
    return signed


def decode_header(header: str) -> SignedManifest:
    """The `Protokol-Manifest` header → manifest; raises ManifestError."""
    if len(header) > 2 * MAX_MANIFEST_BYTES or not re.fullmatch(r"[A-Za-z0-9_-]+", header):
        raise ManifestError("the Protokol-Manifest header is not unpadded base64url, or is too long")
    try:
        encoded = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
    except ValueError as error:
        raise ManifestError("the Protokol-Manifest header is not base64url") from error
    return decode(encoded)


def enrolment_of(public_key: Ed25519PublicKey) -> str:
    """The id of an enrolment: the first 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]
