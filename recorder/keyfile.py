"""An agent's key file: whose footage it signs, where it ships, whom it believes.

`protokol agent enroll ROOM` writes it on the server; it is carried to the room host by hand and is
the only secret there beside the camera's password. Nobody but its owner may read it.
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from recorder.errors import ConfigurationError
from recorder.manifest import enrolment_of

_RAW_KEY_BYTES = 32


def _raw_key(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("not base64") from error
    if len(raw) != _RAW_KEY_BYTES:
        raise ValueError(f"{len(raw)} bytes; a raw Ed25519 key has {_RAW_KEY_BYTES}")
    return raw


class SignedConfiguration(BaseModel):
    """A room's configuration as the server hands it out.

    `configuration` is the canonical JSON text of a RoomConfiguration, `signature` the base64 of the
    Ed25519 signature, by the server's key, over its UTF-8 bytes.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    configuration: str
    signature: str

    def verify(self, server_key: Ed25519PublicKey) -> None:
        """Raises ConfigurationError unless the server signed exactly this text."""
        try:
            signature = base64.b64decode(self.signature, validate=True)
            server_key.verify(signature, self.configuration.encode())
        except (ValueError, InvalidSignature) as error:
            raise ConfigurationError(
                "the room's configuration is not signed by the server that enrolled this agent; "
                "if the server's key was changed, enroll the room again"
            ) from error


class AgentKey(BaseModel):
    """The content of a key file. Keys are base64 of raw Ed25519 keys (32 bytes)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    room: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    enrolment: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    private_key: str = Field(repr=False)
    token: Annotated[str, Field(min_length=16, max_length=256, repr=False)]
    server_url: str
    server_public_key: str
    configuration: SignedConfiguration

    @field_validator("private_key", "server_public_key")
    @classmethod
    def _is_raw_key(cls, text: str) -> str:
        _raw_key(text)
        return text

    @field_validator("server_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// (or http:// on loopback)")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _enrolment_of_key(self) -> AgentKey:
        if enrolment_of(self.signing_key().public_key()) != self.enrolment:
            raise ValueError("`enrolment` does not belong to `private_key`")
        return self

    def signing_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(_raw_key(self.private_key))

    def server_key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(_raw_key(self.server_public_key))

    def write(self, path: Path) -> None:
        """A new file that its owner alone may read, durable on return.

        Raises ConfigurationError when the file exists: a key is never overwritten by accident.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError as error:
            raise ConfigurationError(f"{path} exists already; move it away or choose another name") from error
        except OSError as error:
            raise ConfigurationError(f"cannot write the key file {path}: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(self.model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> AgentKey:
        """Raises ConfigurationError for a file that is missing, readable by others, or wrong.

        Under systemd's $CREDENTIALS_DIRECTORY the directory keeps others out, so its modes are
        taken as they are.
        """
        try:
            _refuse_readable_by_others(path)
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the key file {path}: {error.strerror}; "
                "make one on the server with: protokol agent enroll ROOM -o FILE"
            ) from error
        except ValidationError as error:
            # Only the places and the messages: the values are secrets.
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
            raise ConfigurationError(f"wrong key file {path}: {wrong}") from error


def _refuse_readable_by_others(path: Path) -> None:
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and path.resolve().is_relative_to(Path(credentials).resolve()):
        return
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"others may read the key file {path}; run: chmod 600 {path}")
