"""An acceptance that kills its own process: `python -m tests.integration.accept_killed_run DIR STEP`.

STEP is one of `archive.upload.STEPS`. DIR holds an archive, and in `upload.json` and `body` what an agent
sends: written by the test.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from archive.ingest import Ingest
from archive.system import Archive
from archive.upload import Answer
from recorder.settings import Settings


def main(directory: str, step: str) -> None:
    upload = json.loads(Path(directory, "upload.json").read_text("utf-8"))
    body = Path(directory, "body").read_bytes()

    def fault(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    ingest = Ingest(Archive.open(Settings(data_dir=Path(directory), demo=True)), fault)
    at_us = upload.pop("at_us")
    begun = ingest.begin(**upload, now_us=at_us)
    if not isinstance(begun, Answer):
        begun.write(body)
        begun.finish(at_us)


if __name__ == "__main__":
    main(*sys.argv[1:])
