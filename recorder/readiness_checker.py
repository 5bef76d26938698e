"""The thread of an agent that proves, before the first window of a day, that the room could record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from recorder.capture.camera import Address
from recorder.capture.readiness_check import SoundProbe, look_at_camera
from recorder.host_watch import HostWatch
from recorder.instants import now_us
from recorder.logging import get_logger
from recorder.readiness import (
    CameraLook,
    HostLook,
    Proof,
    Verdict,
    check_is_due,
    first_proof,
    judge,
    proof_of_start,
    recorded_us,
)
from recorder.rooms import RoomConfiguration
from recorder.spool import Spool

_LOOK_AROUND_S = 5.0
_LOOK_S = 4.0


class ReadinessChecker(threading.Thread):
    """Looks when it is due, never while a source records. A daemon, and not supervised: whatever
    happens to it, recording goes on.
    """

    def __init__(
        self,
        configuration: Callable[[], RoomConfiguration],
        addresses: Callable[[], Mapping[str, Address]],
        *,
        spool: Spool,
        host: HostWatch,
        is_idle: Callable[[], bool],
        server_error: Callable[[], str],
        microphone: Callable[[], SoundProbe | None] = lambda: None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """`addresses`: of the room's cameras by source. `is_idle`: no source records or wants its camera.

        `microphone`: for rooms that have one. `clock`: given by tests only.
        """
        super().__init__(name="readiness", daemon=True)
        self._configuration = configuration
        self._addresses = addresses
        self._spool = spool
        self._host = host
        self._is_idle = is_idle
        self._server_error = server_error
        self._microphone = microphone
        self._clock = clock
        self._started_us = clock()
        self._last: Verdict | None = None
        self._checking = False
        self._told: tuple[str, ...] | None = None
        self._stopping = threading.Event()
        self._log = get_logger()

    def stop(self) -> None:
        self._stopping.set()

    def document(self) -> dict[str, Any]:
        """For the heartbeat: `state` ready, not_ready, checking (a first time) or unknown (nothing yet)."""
        last = self._last
        if last is None:
            return {"state": "checking" if self._checking else "unknown", "checked_us": None, "items": []}
        state = "ready" if last.ready else "not_ready"
        return {"state": state, "checked_us": last.checked_us, "items": last.document()}

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look_around()
            except Exception as error:  # noqa: BLE001 (a defect here must cost no recording)
                self._checking = False
                self._log.error("readiness could not be checked", reason=repr(error)[:300])
            self._stopping.wait(_LOOK_AROUND_S)

    def look_around(self) -> None:
        """Checks if that is due now."""
        if not self._is_idle():
            return
        at_us = self._clock()
        configuration = self._configuration()
        proof = first_proof(configuration, at_us) or proof_of_start(configuration, at_us, self._started_us)
        addresses = self._addresses()
        if proof and check_is_due(proof, self._last, at_us, len(addresses)):
            if self._last and self._last.checked_us < proof.from_us:
                self._last = self._told = None  # another day's
            self._checking = True
            try:
                self._check(configuration, proof, addresses)
            finally:
                self._checking = False

    def _check(
        self, configuration: RoomConfiguration, proof: Proof, addresses: Mapping[str, Address]
    ) -> None:
        looks: dict[str, CameraLook] = {}
        for source, address in addresses.items():
            looks[source] = look_at_camera(address, _LOOK_S, self._goes_on)
        probe = self._microphone()
        microphone = probe(_LOOK_S) if probe else None
        if not self._goes_on():
            return  # cut short, so it says nothing
        trust = self._host.trust
        host = HostLook(
            uncertainty_us=trust.uncertainty_us,
            estimated=trust.estimated,
            accepts_footage=self._spool.accepts_footage(),
            free_bytes=self._spool.free_bytes(),
            day_us=recorded_us(configuration, proof),
            server_error=self._server_error(),
        )
        self._last = judge(looks, microphone, host, self._clock())
        self._tell(self._last)

    def _goes_on(self) -> bool:
        return not self._stopping.is_set() and self._is_idle()

    def _tell(self, verdict: Verdict) -> None:
        """Once for each change: a room that stays unready is looked at each minute."""
        codes = tuple(f"{each.source or 'room'}: {each.code}" for each in verdict.items if each.code)
        if codes == self._told:
            return
        self._told = codes
        details = [f"{each.item}: {each.detail}" for each in verdict.items]
        if verdict.ready:
            self._log.info("readiness", ready=True, warnings=list(codes), seen=details)
        else:
            self._log.error("readiness", ready=False, wrong=list(codes), seen=details)
