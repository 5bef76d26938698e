"""The requests to an S3 store that its client library does not make: unfinished multipart uploads.

Signed by AWS Signature Version 4 in the headers, so that no address bears a secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

import httpx

from archive.s3_location import S3Location
from archive.store import StoreError

# Of these small requests each; they are made at start and after a failed upload, never on the way of footage.
_TIMEOUT_S = 10
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    key: str
    upload_id: str
    begun: datetime


def signed_headers(
    location: S3Location, method: str, path: str, query: dict[str, str], at: datetime
) -> dict[str, str]:
    """Headers of a request without a body; `path` and `query` are not percent-encoded yet."""
    stamp, day = at.strftime("%Y%m%dT%H%M%SZ"), at.strftime("%Y%m%d")
    headers = {
        "host": urlsplit(location.endpoint).netloc,
        "x-amz-content-sha256": _EMPTY_SHA256,
        "x-amz-date": stamp,
    }
    if location.credentials.session_token:
        headers["x-amz-security-token"] = location.credentials.session_token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, quote(path), encoded_query(query), lines, names, _EMPTY_SHA256])
    scope = f"{day}/{location.region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + location.credentials.secret_access_key.encode()
    for part in (day, location.region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    identity = f"{location.credentials.access_key_id}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={identity}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def encoded_query(query: dict[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))


class S3Rest:
    """Safe in threads. Every method raises StoreError within its time-out."""

    def __init__(self, location: S3Location) -> None:
        self._location = location
        self._base = "" if location.virtual_hosted else f"/{location.bucket}"
        self._tls = location.tls_context()

    def request(self, method: str, key: str = "", **query: str) -> bytes:
        """The body of the answer. Raises StoreError that names status and key."""
        path = f"{self._base}/{key}"
        named = {name.replace("_", "-"): value for name, value in query.items()}
        headers = signed_headers(self._location, method, path, named, datetime.now(UTC))
        url = f"{self._location.endpoint}{quote(path)}?{encoded_query(named)}"
        try:
            # A connection each: they are few, and none is left open.
            verify = True if self._tls is None else self._tls
            with httpx.Client(timeout=_TIMEOUT_S, verify=verify) as client:
                answer = client.request(method, url, headers=headers)
        except httpx.HTTPError as error:
            raise StoreError(f"the store does not answer: {type(error).__name__}") from error
        if not answer.is_success:
            raise StoreError(f"the store refuses {method} {key or 'of the bucket'}: {answer.status_code}")
        return answer.content

    def unfinished(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Multipart uploads under a prefix that were neither completed nor aborted."""
        markers: dict[str, str] = {}
        while True:
            body = self.request("GET", uploads="", prefix=prefix, **markers)
            try:
                page = ET.fromstring(body)  # noqa: S314 (of the store that footage is entrusted to)
                for upload in page.iterfind("{*}Upload"):
                    begun = datetime.fromisoformat(_text(upload, "Initiated"))
                    yield UnfinishedUpload(_text(upload, "Key"), _text(upload, "UploadId"), begun)
            except (ET.ParseError, ValueError) as error:
                raise StoreError("the store's list of unfinished uploads cannot be read") from error
            if _text(page, "IsTruncated") != "true":
                return
            markers = {
                "key_marker": _text(page, "NextKeyMarker"),
                "upload_id_marker": _text(page, "NextUploadIdMarker"),
            }

    def abort(self, upload: UnfinishedUpload) -> None:
        self.request("DELETE", upload.key, uploadId=upload.upload_id)


def _text(parent: ET.Element, name: str) -> str:
    return parent.findtext(f"{{*}}{name}") or ""
