"""A purge that kills its own process: `python -m tests.integration.retention_killed_run DIR NOW_US STEP`.

STEP is one of `retention.purge.STEPS`, or `half_unlinked`: with some objects gone and others not.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path

from archive.local_store import LocalStore
from archive.sealed import SealedStore
from archive.system import Archive
from recorder.settings import Settings
from retention import purge


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(LocalStore):
    """Unlinks all but the last object, then the power is gone."""

    def delete(self, names):
        super().delete(sorted(names)[:-1])
        die()


def main(directory: str, now_us: str, step: str) -> None:
    archive = Archive.open(Settings(data_dir=Path(directory), demo=True))
    if step == "half_unlinked":
        archive = dataclasses.replace(
            archive, store=SealedStore(DyingStore(archive.store.raw.root), archive.store.keys)
        )
    confirm = purge.plan(archive, int(now_us)).digest
    purge.run(
        archive,
        actor="system",
        now_us=int(now_us),
        confirm=confirm,
        fault=lambda reached: die() if reached == step else None,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
