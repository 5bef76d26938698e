"""The few file operations after which a power cut loses nothing."""

from __future__ import annotations

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Names made, renamed or removed in `path` are durable on return."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """`path` and its missing parents exist, for the owner alone, and are durable on return."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        sync_directory(each.parent)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Every byte is written, or OSError tells that some were not."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def replace_file(path: Path, content: bytes) -> None:
    """`path` holds the old content or the new one, never a mixture; the new one is durable on return."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_directory(path.parent)


def remove_file(path: Path) -> None:
    """`path` is gone, durably; no error where it was gone already."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
