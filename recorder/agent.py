"""The room agent: one process, a camera's thread and a recorder for each source, a shipper, a heartbeat.

The main thread supervises: it tells the service manager that everything moves, reopens sources when
the configuration names other cameras, and stops cleanly within five seconds of SIGTERM.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from recorder.capture.camera import CameraAddress
from recorder.capture.health import HealthMonitor, HealthTerms
from recorder.configuration import ConfigurationStore
from recorder.errors import ConfigurationError, ProtokolError
from recorder.health_rules import HostFacts
from recorder.heartbeat import HEARTBEAT_S, Heartbeat, report
from recorder.host_clock import monotonic_us
from recorder.host_facts import disk_free_bytes, temperature_c
from recorder.host_watch import HostWatch
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from recorder.keyfile import AgentKey
from recorder.logging import bind, get_logger
from recorder.manifest import GapCause
from recorder.rooms import Camera, RoomConfiguration
from recorder.sd_notify import notify
from recorder.shipper import Shipper
from recorder.source import SourceRecorder
from recorder.spool import Spool
from recorder.uplink import Uplink

_WATCH_S = 2.0
# The recorder waits for the disk and the shipper for the server; longer than this nothing waits.
_HUNG_US = 60 * US_PER_SECOND
_M_ARENA_MAX = -8  # malloc.h
_STOP_RECORDERS_S = 3.0
_STOP_SHIPPING_S = 1.5


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """`segment_us` and `heartbeat_s` are what they are; only tests are in a greater hurry."""

    spool_dir: Path
    spool_limit_bytes: int
    secrets_dir: Path | None = None
    segment_us: int = US_PER_MINUTE
    heartbeat_s: float = HEARTBEAT_S
    health: HealthTerms = field(default_factory=HealthTerms)


class AgentFailedError(ProtokolError):
    """A part of the agent died or hangs; the service manager should start it again."""


def share_one_heap() -> None:
    """Packets are made by one thread and freed by another. With glibc's heap for each thread their
    memory wanders, which costs CPU and half a dozen megabytes. Nothing happens with another libc.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def camera_address(camera: Camera, secrets_dir: Path | None) -> CameraAddress:
    """The camera's URL with the credentials that its configuration names.

    Raises ConfigurationError that names the camera.
    """
    if camera.url is None:
        raise ConfigurationError(
            f"camera {camera.name}: `onvif` is not supported yet; give its `url: rtsp://…` instead"
        )
    if camera.credentials is None:
        return CameraAddress(camera.url, None)
    directory = secrets_dir or Path(os.environ.get("CREDENTIALS_DIRECTORY", ""))
    path = directory / camera.credentials
    try:
        return CameraAddress(camera.url, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigurationError(
            f"camera {camera.name}: cannot read its credentials from {path}: {reason}; "
            "write user:password into that file"
        ) from error
    except ConfigurationError as error:
        raise ConfigurationError(f"camera {camera.name}: {path}: {error}") from error


class Agent:
    """`run` returns after `stopping` was set, by whichever thread or signal handler."""

    def __init__(self, key: AgentKey, options: AgentOptions, stopping: threading.Event) -> None:
        """Recovers what a crash left. Raises ConfigurationError, DiskError, OSError."""
        bind(room=key.room)
        self._key = key
        self._options = options
        self._log = get_logger()
        self._stopping = stopping
        self._changed = False
        self._host = HostWatch()
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        self._spool = Spool(options.spool_dir, key, limit_bytes=options.spool_limit_bytes)
        self._store = ConfigurationStore(options.spool_dir / "configuration.json", key)
        self._health = HealthMonitor(self._host_facts, options.health)
        self._sources: dict[str, tuple[CameraAddress, SourceRecorder]] = {}
        self._open_sources(self._store.current)
        self._shipper = Shipper(
            self._spool,
            Uplink(key.server_url, key.token),
            key.room,
            configuration=lambda: self._store.current,
            held=lambda: self._store.held,
        )
        self._heartbeat = Heartbeat(
            Uplink(key.server_url, key.token),
            key.room,
            self._store,
            self._document,
            configuration_changed=self._configuration_changed,
            every_s=options.heartbeat_s,
        )

    def _configuration_changed(self) -> None:
        self._changed = True

    def run(self) -> None:
        """Raises AgentFailedError when a part of the agent died or hangs."""
        self._health.start()
        for _, recorder in self._sources.values():
            recorder.start()
        self._shipper.start()
        self._heartbeat.start()
        # What is loaded by now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        notify("READY=1")
        self._log.info("agent runs", sources=list(self._sources), spool=str(self._options.spool_dir))
        try:
            while not self._stopping.wait(_WATCH_S):
                if self._changed:
                    self._changed = False
                    self._reopen_changed_sources()
                self._check_parts()
                notify("WATCHDOG=1")
        finally:
            notify("STOPPING=1")
            self._shut_down()

    def _document(self) -> dict[str, object]:
        statuses = {name: recorder.status for name, (_, recorder) in list(self._sources.items())}
        version = self._store.current.version
        health = self._health.report()
        return report(statuses, self._spool, self._host.trust, version, now_us(), health)

    def _host_facts(self) -> HostFacts:
        trust, oldest_us = self._host.trust, self._spool.oldest_us
        return HostFacts(
            disk_free_bytes=disk_free_bytes(self._options.spool_dir),
            spool_bytes=self._spool.bytes,
            spool_limit_bytes=self._options.spool_limit_bytes,
            spool_age_us=max(0, now_us() - oldest_us) if oldest_us else 0,
            clock_uncertainty_us=trust.uncertainty_us,
            clock_estimated=trust.estimated,
            temperature_c=temperature_c(),
        )

    def _open_sources(self, configuration: RoomConfiguration, *, restarted: bool = False) -> None:
        if not configuration.room.cameras:
            raise ConfigurationError(
                f"room {configuration.room.id} has no camera; "
                "rooms with a microphone alone are not supported yet"
            )
        for camera in configuration.room.cameras:
            if camera.name not in self._sources:
                address = camera_address(camera, self._options.secrets_dir)
                self._sources[camera.name] = (
                    address,
                    self._recorder(camera.name, address, restarted=restarted),
                )

    def _recorder(self, source: str, address: CameraAddress, *, restarted: bool) -> SourceRecorder:
        return SourceRecorder(
            source,
            address,
            spool=self._spool,
            configuration=lambda: self._store.current,
            host=self._host,
            segment_us=self._options.segment_us,
            boot_id=self._boot_id,
            restarted=restarted,
            health=self._health,
        )

    def _reopen_changed_sources(self) -> None:
        """Sources whose camera is another one now are ended and begun; the others do not notice."""
        configuration = self._store.current
        cameras = {camera.name: camera for camera in configuration.room.cameras}
        for name, (address, recorder) in list(self._sources.items()):
            try:
                same = name in cameras and address == camera_address(cameras[name], self._options.secrets_dir)
            except ConfigurationError as error:
                self._log.error("new configuration is unusable; going on as before", reason=str(error))
                return
            if not same:
                recorder.stop(GapCause.RESTART)
                recorder.join(_STOP_RECORDERS_S)
                del self._sources[name]
        before = set(self._sources)
        self._open_sources(configuration, restarted=True)
        for name in self._sources.keys() - before:
            self._sources[name][1].start()

    def _check_parts(self) -> None:
        parts: list[SourceRecorder | Shipper | Heartbeat] = [self._shipper, self._heartbeat]
        parts += [recorder for _, recorder in self._sources.values()]
        for part in parts:
            if not part.is_alive():
                raise AgentFailedError(f"{part.name} has died; its last words stand above")
            if monotonic_us() - part.beat_us > _HUNG_US:
                raise AgentFailedError(f"{part.name} hangs")

    def _shut_down(self) -> None:
        """The last segment is finished and shipped, or at least in the spool."""
        began = time.monotonic()
        recorders = [recorder for _, recorder in self._sources.values()]
        self._heartbeat.stop()
        self._health.stop()
        for recorder in recorders:
            recorder.stop()
        for recorder in recorders:
            recorder.join(max(0.1, began + _STOP_RECORDERS_S - time.monotonic()))
        self._shipper.stop()
        self._shipper.join(_STOP_SHIPPING_S)
        if not self._shipper.is_alive():
            self._shipper.drain(_STOP_SHIPPING_S)
        self._log.info("agent stopped", waiting=self._spool.segments, s=round(time.monotonic() - began, 2))
