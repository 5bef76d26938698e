"""Where an S3 store is and who asks: the URL that a setting names, credentials from elsewhere.

`s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION&style=path`: no endpoint means Amazon's, the region's
default is us-east-1, the style is `path` or `virtual`. The URL is shown and logged: it never bears a secret.
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from archive.store import StoreError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?:[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)?")
# Under systemd: LoadCredential=s3:/etc/protokol/s3
CREDENTIAL_NAME = "s3"


@dataclass(frozen=True, slots=True)
class S3Credentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class S3Location:
    """`endpoint` bears the bucket where `virtual_hosted`; `prefix` is empty or ends with no slash."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    virtual_hosted: bool
    credentials: S3Credentials
    ca_file: Path | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """Trusts the house's own authority besides the system's; None: the system's alone."""
        if self.ca_file is None:
            return None
        try:
            context = ssl.create_default_context()
            context.load_verify_locations(self.ca_file)
        except OSError as error:
            raise StoreError(f"cannot read the certificates in {self.ca_file}: {error}") from error
        return context


def parse_location(url: str, credentials: S3Credentials, ca_file: Path | None = None) -> S3Location:
    """Raises StoreError that names what is wrong, and never repeats a secret."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.fragment:
        raise StoreError(
            "the store's URL bears a user or a password, and URLs are shown and logged; "
            "write ACCESS_KEY_ID:SECRET into the file that PROTOKOL_S3_CREDENTIALS_FILE names"
        )
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(query.keys() - {"endpoint", "region", "style"})
    if unknown:
        # The names alone: a value may be a secret.
        raise StoreError(f"the store's URL knows endpoint, region and style, not {', '.join(unknown)}")
    bucket, prefix, style = parts.netloc, parts.path.strip("/"), query.get("style", "path")
    if not _BUCKET.fullmatch(bucket) or not _PREFIX.fullmatch(prefix):
        raise StoreError(f"not a bucket and prefix of an S3 store: {bucket[:80]}/{prefix[:80]}")
    if style not in {"path", "virtual"}:
        raise StoreError(f"style={style[:20]} of the store's URL: use path or virtual")
    region = query.get("region", "us-east-1")
    endpoint = query.get("endpoint", f"https://s3.{region}.amazonaws.com").rstrip("/")
    host = urlsplit(endpoint)
    if (
        host.scheme not in {"http", "https"}
        or not host.netloc
        or "@" in host.netloc
        or host.path
        or host.query
    ):
        raise StoreError(
            "endpoint of the store's URL: use https://HOST or https://HOST:PORT, and no password"
        )
    if style == "virtual":
        endpoint = f"{host.scheme}://{bucket}.{host.netloc}"
    return S3Location(bucket, prefix, endpoint, region, style == "virtual", credentials, ca_file)


def find_credentials(file: Path | None) -> S3Credentials:
    """From the file, else systemd's credential `s3`, else AWS_ACCESS_KEY_ID and so on. Raises StoreError.

    A file holds ACCESS_KEY_ID:SECRET on its first line; the key id may itself bear colons (Swift's do).
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if file is None and directory and (Path(directory) / CREDENTIAL_NAME).exists():
        file = Path(directory) / CREDENTIAL_NAME
    if file is None:
        key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not key_id or not secret:
            raise StoreError(
                "no credentials for the S3 store: write ACCESS_KEY_ID:SECRET into a file and name it by "
                "PROTOKOL_S3_CREDENTIALS_FILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return S3Credentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None)
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise StoreError(f"cannot read the store's credentials from {file}: {reason}") from error
    key_id, _, secret = text.rpartition(":")
    if not key_id or not secret or "\n" in text:
        raise StoreError(f"wrong credentials file {file}: it holds ACCESS_KEY_ID:SECRET on one line")
    return S3Credentials(key_id, secret)
