"""Honest manifests, signed by a key of nobody's."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.manifest import (
    ClockStatement,
    GapManifest,
    SegmentManifest,
    TrackStatement,
    enrolment_of,
    sign,
)

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
_LINK = {
    "room": "108",
    "source": "main",
    "enrolment": enrolment_of(_KEY.public_key()),
    "sequence": 1,
    "previous": "0" * 64,
    "start_us": 1_000_000,
    "end_us": 3_000_000,
    "configuration_version": 1,
    "agent_version": "test",
    "segment_id": "0193e4a0-0000-7000-8000-000000000000",
}
GAP = GapManifest.model_validate({**_LINK, "tracks": ["video"], "cause": "camera_stalled", "detail": "є"})
SEGMENT = SegmentManifest(
    **_LINK,
    run="0193e4a0-0000-7000-8000-000000000001",
    tracks=[
        TrackStatement(
            track="video",
            codec="h264",
            timescale=90_000,
            start_ticks=0,
            duration_ticks=180_000,
            samples=50,
            codec_sha256="0" * 64,
        )
    ],
    clock=ClockStatement(source="arrival", uncertainty_us=1000, estimated=False),
    av_offset_us=0,
    microphone="camera",
    media_bytes=1,
    media_sha256="0" * 64,
    recovered=False,
)
MANIFESTS = tuple(sign(manifest, _KEY).encoded for manifest in (GAP, SEGMENT))
