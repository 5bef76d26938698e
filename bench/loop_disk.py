"""A disk that can lose its power: ext4 in a file, mounted by a loop device.

The cut is `ioctl(EXT4_IOC_SHUTDOWN, NOLOGFLUSH)`: nothing that the page cache holds, and nothing of the
journal that was not committed, reaches the file any more. What the next mount finds is what a machine
finds after its power came back. The file itself lies on a disk that goes on, so a drive that forgets what
it said it wrote is not shown.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

# _IOR('X', 125, __u32) and EXT4_GOING_FLAGS_NOLOGFLUSH of fs/ext4/ext4.h.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_NOLOGFLUSH = 2
_PATIENCE_S = 10.0


def why_not() -> str | None:
    """Why no such disk can be had on this machine, or None."""
    if os.geteuid() != 0:
        return "mounting a loop device needs root"
    if shutil.which("mkfs.ext4") is None:
        return "there is no mkfs.ext4"
    with tempfile.TemporaryDirectory() as name:
        try:
            with LoopDisk(Path(name), size_mb=8):
                return None
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no ext4 on a loop device can be mounted here: {error}"


class LoopDisk:
    """A context manager: mounted at `root` inside it; nothing of it is left after it."""

    def __init__(self, directory: Path, *, size_mb: int) -> None:
        """The file and the mount point are made in `directory`."""
        self._image = directory / "disk.img"
        self._size_bytes = size_mb << 20
        self.root = directory / "disk"
        self._mounted = False

    def mount(self) -> None:
        """Replays the journal where there is one to replay. Raises CalledProcessError."""
        _run("mount", "-t", "ext4", "-o", "loop", str(self._image), str(self.root))
        self._mounted = True

    def cut_power(self) -> None:
        """From its return on nothing written becomes durable, and every fsync fails."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """What lies on it now is durable."""
        _run("sync", "-f", str(self.root))

    def unmount(self) -> None:
        """Raises CalledProcessError when something keeps a file of it open."""
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                _run("umount", str(self.root))
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
                # The kernel closes the files of a killed process a moment after it is gone.
                time.sleep(0.02)
            else:
                self._mounted = False
                return

    def __enter__(self) -> Self:
        self.root.mkdir()
        with self._image.open("wb") as image:
            image.truncate(self._size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            # Lazily: whatever holds a file of it must not keep the loop device for ever.
            subprocess.run(["umount", "--lazy", self.root], check=False)
        self._image.unlink(missing_ok=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
