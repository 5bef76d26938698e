"""The master key: wraps every other key, and is in no database."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from archive.cipher import KEY_BYTES
from recorder.durable import sync_directory, write_all
from recorder.errors import ConfigurationError

HOW_TO_MAKE = "head -c 32 /dev/urandom > FILE, readable by the server alone"


class MasterKey:
    """Wraps keys of KEY_BYTES by AES-KW (RFC 3394), which needs no nonce and refuses what was altered."""

    def __init__(self, raw: bytes, source: str = "the master key") -> None:
        """Raises ConfigurationError for a key of another size."""
        if len(raw) != KEY_BYTES:
            raise ConfigurationError(
                f"{source} is {len(raw)} bytes, a master key is {KEY_BYTES}: restore it from its safe copy"
            )
        self._raw = raw

    @property
    def check_value(self) -> bytes:
        """Tells this key from others, and nothing about it."""
        return HKDF(SHA256(), KEY_BYTES, None, b"protokol master key check v1").derive(self._raw)

    def is_of(self, check_value: bytes) -> bool:
        return hmac.compare_digest(self.check_value, check_value)

    def wrap(self, key: bytes) -> bytes:
        return aes_key_wrap(self._raw, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises ConfigurationError for what another key has wrapped, or what was altered."""
        try:
            return aes_key_unwrap(self._raw, wrapped)
        except InvalidUnwrap as error:
            raise ConfigurationError(
                "a key in the key database is damaged: restore the key database from its backup"
            ) from error


def read_master_key(path: Path) -> MasterKey:
    """Raises ConfigurationError for a file that is missing, unreadable, or of another size."""
    try:
        return MasterKey(path.read_bytes(), f"the master key {path}")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no master key {path}: restore it from its safe copy, or, for a new archive, make it "
            f"({HOW_TO_MAKE})"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"cannot read the master key {path}: {error.strerror}") from error


def make_master_key(path: Path) -> None:
    """A new key in a new file (0600), durable on return. Where one stands already, it stays.

    Raises ConfigurationError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write_all(descriptor, os.urandom(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            # link() fails where another process was first: its key stands.
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot make the master key {path}: {error.strerror}") from error
