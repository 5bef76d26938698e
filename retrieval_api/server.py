"""The server process: the web application, retention's clock and housekeeping, as one."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from archive import ballast, figures_job, jobs, viewing
from archive.checkpoint_service import CheckpointService
from archive.derive_service import DeriveService
from archive.job_worker import JobWorker
from archive.system import Archive
from recorder.errors import ConfigurationError, ProtokolError
from recorder.instants import US_PER_MINUTE, now_us
from recorder.logging import get_logger
from recorder.sd_notify import notify, watchdog_interval_s
from retention.service import RetentionService
from retrieval_api import sessions
from retrieval_api.app import create_app
from retrieval_api.request_head import BoundedHeadProtocol

_log = get_logger()
_GRACE_SECONDS = 10
# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_HEAPS = 2
# What one clip's columns take and a little more; the largest of them.
_KEPT_BYTES, _LARGE_BYTES = 48 * 2**20, 16 * 2**20
_SWITCH_S = 0.0005
_ROUND_SECONDS = 30
_FORGET_SESSIONS_EVERY_US = 60 * US_PER_MINUTE
# It looks through the whole store, for what is a day old.
_SWEEP_EVERY_US = 6 * 60 * US_PER_MINUTE


class Housekeeping:
    """Ends viewings that nobody watches any more; forgets expired log-ins, jobs of a month ago and, by
    `forget_pictures`, rooms' pictures of a minute ago; asks for the figures of past days; sweeps up after
    servers that were killed. In a thread of its own.
    """

    def __init__(
        self,
        archive: Archive,
        clock: Callable[[], int] = now_us,
        forget_pictures: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._archive, self._clock, self._forget_pictures = archive, clock, forget_pictures
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._forgotten_us = self._swept_us = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended; viewings of this process are closed."""
        self._stop.set()
        self._thread.join()
        # On a database that other server processes use too, theirs go on: idleness will close ours.
        if self._archive.database.is_sqlite:
            viewing.close_idle(self._archive, self._clock(), everything=True)

    def round(self) -> None:
        """What is due now, once."""
        at_us = self._clock()
        self._forget_pictures(at_us)
        viewing.close_idle(self._archive, at_us)
        if at_us - self._forgotten_us >= _FORGET_SESSIONS_EVERY_US:
            sessions.forget_expired(self._archive, at_us)
            with self._archive.database.transaction() as session:
                jobs.forget(session, at_us)
            figures_job.ask(self._archive, at_us)
            self._forgotten_us = at_us
        if at_us - self._swept_us >= _SWEEP_EVERY_US:
            self._swept_us = at_us
            _sweep(self._archive, alone=False)

    def _run(self) -> None:
        while not self._stop.wait(_ROUND_SECONDS):
            try:
                self.round()
            except (ProtokolError, SQLAlchemyError) as error:
                _log.error("housekeeping_failed", error=error)


def _sweep(archive: Archive, *, alone: bool) -> None:
    if leftovers := archive.store.sweep(alone=alone):
        _log.warning("leftovers_swept", objects=leftovers)


class _Server(uvicorn.Server):
    """Tells systemd when the port is open, that the event loop still turns, and when the stop begins. What
    would not end by itself is ended first, by `end_streams`.
    """

    def __init__(self, config: uvicorn.Config, end_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        notify("READY=1")
        self._watchdog = asyncio.create_task(_feed_watchdog())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        self._end_streams()
        self._watchdog.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watchdog
        await super().shutdown(sockets)


async def _feed_watchdog() -> None:
    interval_s = watchdog_interval_s()
    while interval_s is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)


def listen(host: str, port: int) -> socket.socket:
    """The listening socket; port 0 takes a free one. Raises ConfigurationError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port"
        ) from error
    sock.set_inheritable(True)
    return sock


def _end_at_once() -> None:
    """A failed sync of the database: nobody is answered any more. The next process writes what this one
    has left into the database anew (`Database.settle`), and does not start where that fails.
    """
    _log.critical("database_sync_failed", alarm=True)
    os._exit(2)


def set_heaps() -> None:
    """In glibc threads get heaps of their own, which keep what was freed there: dozens of threads that lay
    out clips in turn held 800 MB where two heaps hold 320 (30 viewers). But what one clip needs is kept: each
    layout got some two thousand pages from the kernel anew. Elsewhere there is no such call.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _HEAPS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def let_threads_in() -> None:
    """No thread keeps the others waiting for long; call it when everything is loaded.

    What is loaded by now stays: to look at it all once more, the collector would stop every answer for some
    50 ms, and ingest once more where it comes within a purge's transaction. And an acceptance asks the
    database twenty times: after each answer it would wait for a purge that reckons, by default five ms.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_S)


def run(archive: Archive, sock: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way within ten seconds.

    Raises DatabaseError when what the database tells cannot be made durable.
    """
    app = create_app(archive)
    set_heaps()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=BoundedHeadProtocol,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    archive.database.on_failed_sync = _end_at_once
    archive.store.keys.on_failed_sync(_end_at_once)
    archive.database.settle()
    ballast.lay(archive.database)
    if archive.database.is_sqlite:
        # This is the only server: what writers left unfinished belongs to one that was killed.
        _sweep(archive, alone=True)
    let_threads_in()
    retention, housekeeping = (
        RetentionService(archive),
        Housekeeping(archive, forget_pictures=app.state.pictures.forget_old),
    )
    checkpoints = CheckpointService(archive)
    worker = JobWorker(
        archive, {**retention.handlers(), figures_job.KIND: figures_job.handler(archive, now_us)}
    )
    retention.use(worker)
    thumbnails = DeriveService(archive)
    worker.start()
    checkpoints.start()
    retention.start()
    housekeeping.start()
    thumbnails.start()
    # uvicorn raises the signal that stopped it once more at its end: that must not kill what follows.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: None)
    host, port = sock.getsockname()[:2]
    _log.info("serving", host=host, port=port)
    try:
        _Server(config, app.state.live_board.close).run(sockets=[sock])
    finally:
        thumbnails.stop()
        housekeeping.stop()
        retention.stop()
        checkpoints.stop()
        worker.stop()
        archive.close()
        _log.info("stopped")
