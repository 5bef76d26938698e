"""The server's own key: signs configurations for agents and certificates of purge."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.errors import ConfigurationError


def load_or_make_server_key(path: Path, *, make: bool = True) -> Ed25519PrivateKey:
    """The raw 32-byte key in `path`; with `make`, made (0600, durable) where there is none.

    Raises ConfigurationError for a file of another size, and without `make` for a missing one: a key must
    never be replaced silently, or every agent would refuse the next configuration.
    """
    try:
        if not path.exists():
            if not make:
                raise ConfigurationError(
                    f"there is no server's key in {path}, and this archive has one already: copy it from the "
                    "other server or from its backup, or name its file in PROTOKOL_SERVER_KEY_FILE"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(fd, Ed25519PrivateKey.generate().private_bytes_raw())
                os.fsync(fd)
            finally:
                os.close(fd)
            try:
                # link() fails where another process was first: its key stands.
                os.link(temporary, path)
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read or make the server's key {path}: {error.strerror}") from error
    if len(raw) != 32:
        raise ConfigurationError(
            f"{path} is {len(raw)} bytes, a server key is 32; restore it from its backup"
        )
    return Ed25519PrivateKey.from_private_bytes(raw)
