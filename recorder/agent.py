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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from recorder.capture.camera import Address, CameraAddress
from recorder.capture.health import HealthMonitor, HealthTerms
from recorder.capture.onvif_address import OnvifAddress
from recorder.configuration import ConfigurationStore
from recorder.errors import ConfigurationError, ProtokolError
from recorder.health_rules import HostFacts
from recorder.heartbeat import HEARTBEAT_S, Heartbeat, Watch, pictures_told, report
from recorder.host_boots import read_boots
from recorder.host_clock import monotonic_us
from recorder.host_facts import disk_free_bytes, temperature_c
from recorder.host_watch import HostWatch
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, now_us
from recorder.keyfile import AgentKey
from recorder.logging import bind, get_logger
from recorder.manifest import MAX_MICROPHONE_CHARACTERS, GapCause
from recorder.readiness_checker import ReadinessChecker
from recorder.room_microphone import RoomMicrophone
from recorder.rooms import SOUND_ALONE, Camera, RoomConfiguration
from recorder.sd_notify import notify
from recorder.shipper import Shipper
from recorder.skews import Skews
from recorder.source import SourceRecorder
from recorder.source_hardware import SourceHardware
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
    """`segment_us` and `heartbeat_s` are what they are; only tests are in a greater hurry, and only they have
    a sound system of their own, in `sound_environment`.
    """

    spool_dir: Path
    spool_limit_bytes: int
    secrets_dir: Path | None = None
    segment_us: int = US_PER_MINUTE
    heartbeat_s: float = HEARTBEAT_S
    sound_environment: Mapping[str, str] | None = None
    health: HealthTerms = field(default_factory=HealthTerms)


class Part(Protocol):
    """A thread of the agent; `beat_us` (monotonic) tells that it moves."""

    name: str
    beat_us: int

    def is_alive(self) -> bool: ...


class AgentFailedError(ProtokolError):
    """A part of the agent died or hangs; the service manager should start it again."""


def share_one_heap() -> None:
    """Packets are made by one thread and freed by another. With glibc's heap for each thread their
    memory wanders, which costs CPU and half a dozen megabytes. Nothing happens with another libc.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def camera_address(camera: Camera, secrets_dir: Path | None) -> Address:
    """The camera's URL or ONVIF host with the credentials that its configuration names.

    Raises ConfigurationError that names the camera. No camera is asked yet.
    """

    def address(credentials: str | None) -> Address:
        if camera.onvif is not None:
            return OnvifAddress(camera.onvif, credentials, camera.transport)
        return CameraAddress(camera.url or "", credentials, camera.transport)

    if camera.credentials is None:
        return address(None)
    directory = secrets_dir or Path(os.environ.get("CREDENTIALS_DIRECTORY", ""))
    path = directory / camera.credentials
    try:
        return address(path.read_text(encoding="utf-8"))
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
        self._boots = read_boots()
        self._spool = Spool(options.spool_dir, key, limit_bytes=options.spool_limit_bytes)
        self._store = ConfigurationStore(options.spool_dir / "configuration.json", key)
        self._skews = Skews(options.spool_dir / "clocks.json")
        self._health = HealthMonitor(self._host_facts, options.health)
        self._microphone: RoomMicrophone | None = None
        self._sources: dict[str, SourceRecorder] = {}
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
            watched=self._watched,
            every_s=options.heartbeat_s,
        )
        self._readiness = ReadinessChecker(
            lambda: self._store.current,
            self._addresses,
            spool=self._spool,
            host=self._host,
            is_idle=lambda: all(recorder.is_idle for recorder in list(self._sources.values())),
            server_error=lambda: self._heartbeat.error,
            microphone=self._sound_probe,
        )

    def _configuration_changed(self) -> None:
        self._changed = True

    def _watched(self, watch: Watch) -> None:
        at_us = monotonic_us()
        self._health.watch(at_us + watch.pictures_us, at_us + watch.clear_us)

    def run(self) -> None:
        """Raises AgentFailedError when a part of the agent died or hangs."""
        self._health.start()
        for recorder in self._sources.values():
            recorder.start()
        self._shipper.start()
        self._heartbeat.start()
        self._readiness.start()
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

    def _addresses(self) -> dict[str, Address]:
        hardware = [recorder.hardware for recorder in list(self._sources.values())]
        return {each.source: each.address for each in hardware if each.address}

    def _sound_probe(self) -> Callable[[float], float | str] | None:
        if self._microphone is None:
            return None
        from recorder.capture.microphone_listener import sound_probe  # noqa: PLC0415 only here

        return sound_probe(self._microphone.configured, self._options.sound_environment)

    def _document(self) -> dict[str, object]:
        statuses = {name: recorder.status for name, recorder in list(self._sources.items())}
        version = self._store.current.version
        beat = report(statuses, self._spool, self._host.trust, version, now_us(), self._health.report())
        pictures = pictures_told(self._health.pictures)
        return beat | {"readiness": self._readiness.document()} | ({"pictures": pictures} if pictures else {})

    def _hardware(self, configuration: RoomConfiguration) -> dict[str, SourceHardware]:
        """The room's sources by name. Raises ConfigurationError."""
        room = configuration.room
        microphone = str(room.microphone.device)[:MAX_MICROPHONE_CHARACTERS] if room.microphone else None
        secrets = self._options.secrets_dir
        addresses: dict[str, Address | None] = {c.name: camera_address(c, secrets) for c in room.cameras}
        if not addresses:
            addresses[SOUND_ALONE] = None
        return {name: SourceHardware(name, address, microphone) for name, address in addresses.items()}

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
        """Those that are not open yet. Raises ConfigurationError."""
        hardware = self._hardware(configuration)
        wanted = configuration.room.microphone
        if wanted and self._microphone is None:
            self._microphone = RoomMicrophone(wanted, environment=self._options.sound_environment)
        for name, each in hardware.items():
            if name not in self._sources:
                self._sources[name] = self._recorder(each, restarted=restarted)

    def _recorder(self, hardware: SourceHardware, *, restarted: bool) -> SourceRecorder:
        recorder = SourceRecorder(
            hardware,
            microphone=self._microphone,
            spool=self._spool,
            configuration=lambda: self._store.current,
            host=self._host,
            segment_us=self._options.segment_us,
            boot_id=self._boot_id,
            skews=self._skews,
            restarted=restarted,
            boots=self._boots,
            superseded_us=lambda: self._store.superseded_us,
            health=self._health,
        )
        if self._microphone:
            self._microphone.add(recorder.hear)
        return recorder

    def _reopen_changed_sources(self) -> None:
        """Sources that are recorded by other devices now are ended and begun; the others do not notice."""
        configuration = self._store.current
        try:
            hardware = self._hardware(configuration)
        except ConfigurationError as error:
            self._log.error("new configuration is unusable; going on as before", reason=str(error))
            return
        microphone = self._microphone
        replaced = microphone is not None and microphone.configured != configuration.room.microphone
        for name, recorder in list(self._sources.items()):
            if replaced or recorder.hardware != hardware.get(name):
                recorder.stop(GapCause.RESTART)
                recorder.join(_STOP_RECORDERS_S)
                if recorder.is_alive():
                    # Two that write one chain would fork it; a new process finds it as after a crash.
                    raise AgentFailedError(f"{recorder.name} does not stop")
                if microphone:
                    microphone.remove(name, recorder.hear)
                del self._sources[name]
        if microphone and replaced:
            microphone.stop()
            self._microphone = None
        before = set(self._sources)
        self._open_sources(configuration, restarted=True)
        for name in self._sources.keys() - before:
            self._sources[name].start()

    def _check_parts(self) -> None:
        parts: list[Part] = [self._shipper, self._heartbeat, *self._sources.values()]
        if self._microphone:
            parts.append(self._microphone.link)
        for part in parts:
            if not part.is_alive():
                raise AgentFailedError(f"{part.name} has died; its last words stand above")
            if monotonic_us() - part.beat_us > _HUNG_US:
                raise AgentFailedError(f"{part.name} hangs")

    def _shut_down(self) -> None:
        """The last segment is finished and shipped, or at least in the spool."""
        began = time.monotonic()
        recorders = list(self._sources.values())
        self._heartbeat.stop()
        self._readiness.stop()
        self._health.stop()
        for recorder in recorders:
            recorder.stop()
        for recorder in recorders:
            recorder.join(max(0.1, began + _STOP_RECORDERS_S - time.monotonic()))
        if self._microphone:
            self._microphone.stop()
        self._shipper.stop()
        self._shipper.join(_STOP_SHIPPING_S)
        if not self._shipper.is_alive():
            self._shipper.drain(_STOP_SHIPPING_S)
        self._log.info("agent stopped", waiting=self._spool.segments, s=round(time.monotonic() - began, 2))
