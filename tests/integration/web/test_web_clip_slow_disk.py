"""A disk that hangs stops the viewers who wait for it, and nobody else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from archive.sealed import SealedStore
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, now_us
from tests.footage import FakeAgent, make_archive
from tests.web import Client, add_staff, serving

# More than read at once, and more than the threads that pages and ingest have.
VIEWERS = 44


class HangingStore(SealedStore):
    """Opens objects only while it is let."""

    def __init__(self, store: SealedStore) -> None:
        super().__init__(store.raw, store.keys)
        self.let, self.asked = threading.Event(), threading.Event()

    def open(self, name: str) -> Any:
        self.asked.set()
        assert self.let.wait(60)
        return super().open(name)


def test_pages_answer_while_the_disk_hangs(tmp_path) -> None:
    archive = make_archive(tmp_path)
    add_staff(archive)
    start_us = (now_us() - 30 * US_PER_MINUTE) // US_PER_SECOND * US_PER_SECOND
    FakeAgent(archive).record(start_us)
    store = HangingStore(archive.store)
    span = [quote(format_instant(at, "Europe/Kyiv")) for at in (start_us, start_us + 2 * US_PER_SECOND)]
    path = f"/api/v1/rooms/108/clip.mp4?from={span[0]}&to={span[1]}"
    with (
        serving(replace(archive, store=store)) as url,
        Client(base_url=url, timeout=60) as auditor,
        ThreadPoolExecutor(VIEWERS) as viewers,
    ):
        auditor.log_in("auditor")
        size = int(auditor.head(path).headers["Content-Length"])
        watching = [viewers.submit(auditor.get, path) for _ in range(VIEWERS)]
        try:
            assert store.asked.wait(30)
            assert auditor.get("/api/v1/rooms", timeout=30).status_code == 200
            assert auditor.get("/staff/board", timeout=30).status_code == 200
            assert not any(each.done() for each in watching)
        finally:
            store.let.set()
        answers = [each.result() for each in watching]
    assert {(each.status_code, len(each.content)) for each in answers} == {(200, size)}
    archive.close()
