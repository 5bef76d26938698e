"""What is wrong with a room that records: which measurements are evidence, and when evidence is a condition.

Pure: fed with measurements and the instants (UTC) at which they were made. A condition is raised when its
evidence has stood for a while, at most 30 s after its onset together with the heartbeat that tells it, and
cleared when the contrary has. Between the two thresholds of a measurement nothing changes: no flapping.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from recorder.instants import US_PER_MINUTE, US_PER_SECOND


class Condition(StrEnum):
    PICTURE_BLACK = "picture_black"
    PICTURE_COVERED = "picture_covered"
    PICTURE_FROZEN = "picture_frozen"
    PICTURE_BLURRED = "picture_blurred"
    PICTURE_UNCHECKED = "picture_unchecked"
    SOUND_MISSING = "sound_missing"
    MICROPHONE_REPLACED = "microphone_replaced"
    SOUND_SILENT = "sound_silent"
    SOUND_CLIPPING = "sound_clipping"
    SOUND_HUM = "sound_hum"
    DISK_LOW = "disk_low"
    SPOOL_OLD = "spool_old"
    SHIPPING_LATE = "shipping_late"
    CLOCK_ERROR = "clock_error"
    CAMERA_CLOCK_ERROR = "camera_clock_error"
    HOT = "hot"


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One decoded picture. Luma levels 0 to 255.

    `dark`, `bright`: the levels that 5 % and 95 % of the pixels do not pass, so that text which a camera
    writes into its picture does not count. `detail`: how much fine structure there is beside the
    picture's contrast; gain, light and sensor noise do not move it. `difference`: mean absolute
    difference to the picture before, None for the first of its size.
    """

    dark: float
    bright: float
    detail: float
    difference: float | None


@dataclass(frozen=True, slots=True)
class Levels:
    """One second of sound. Levels in dB of full scale, at least -120.

    `rms_dbfs`: of what alternates: an offset of the converter is not sound. `clipped_share`: part of the
    samples at full scale, 0 to 1. `hum_dbfs`: what 50 Hz and 100 Hz bear together; `hum_ratio`: their
    part of all power, 0 to 1.
    """

    peak_dbfs: float
    rms_dbfs: float
    clipped_share: float
    hum_dbfs: float
    hum_ratio: float


@dataclass(frozen=True, slots=True)
class RecordingState:
    """Of a source that records. `microphone_replaced`: the camera's sound stands in for the microphone's."""

    sound_missing: bool
    microphone_replaced: bool


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The room host; None for what cannot be read. `spool_age_us`: of the oldest entry not yet shipped.

    `clock_estimated`: no time service vouches for the host's clock.
    """

    disk_free_bytes: int | None = None
    spool_bytes: int = 0
    spool_limit_bytes: int | None = None
    spool_age_us: int = 0
    clock_uncertainty_us: int = 0
    clock_estimated: bool = False
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds. Pairs are (evidence from here on, contrary from here on)."""

    # Video black is 16; the sensor's noise and what a closed shutter lets through stay below 36.
    black_bright: tuple[float, float] = (36, 44)
    # A lit room spans more than a hundred levels, a cap, a hand or a blank wall of light some twenty.
    covered_span: tuple[float, float] = (40, 56)
    # A sensor's noise makes pictures of a still room differ by half a level or more, an encoder that gets
    # the same picture twice codes it the same. A clock that the camera writes (two digits in 1080p) makes
    # 30 * 50 pixels * 60 levels / 2 million = 0.04.
    frozen_difference: tuple[float, float] = (0.06, 0.12)
    # Part of the scene's own detail that is left. Measured on noise of 1/f, on edges, on the simulator: a
    # blur of 8 pixels (sigma, at 1920) leaves 1/20 to 1/60, one of 4 pixels 1/4 to 1/13.
    blurred_part: tuple[float, float] = (1 / 8, 1 / 5)
    # A scene that was never seen sharp: only what no sharp scene can be (16 pixels leave at most 0.004).
    blurred_detail: tuple[float, float] = (0.004, 0.006)
    # A room where nobody speaks lies at -60 to -50 dBFS, the quietest microphone's own noise above -75
    # (16 bit: -98, A-law: its step is -66). Below is no room but a muted or missing microphone.
    silent_dbfs: tuple[float, float] = (-75, -72)
    # One clap overloads some milliseconds of a second; an overloaded input does so whenever somebody speaks.
    clipped_share: float = 0.001
    clipping_seconds: int = 5
    clipping_window_us: int = 20 * US_PER_SECOND
    # As loud as a quiet room, in two lines of the spectrum. Where it is 20 dB under what is said, that
    # second says nothing.
    hum_dbfs: tuple[float, float] = (-50, -53)
    hum_ratio: float = 0.01
    # Four hours of 1080p at 4 Mbit/s are 7.2 GB.
    disk_free_bytes: tuple[int, int] = (8 * 10**9, 9 * 10**9)
    # The spool refuses new footage at its limit.
    spool_part: tuple[float, float] = (0.8, 0.75)
    # A segment is shipped seconds after its minute; a restart of the server takes one or two.
    shipping_late_us: int = 5 * US_PER_MINUTE
    # A day lost to the archive is a day nobody can find.
    spool_old_us: int = 24 * 60 * US_PER_MINUTE
    clock_uncertainty_us: int = US_PER_SECOND
    # Off where the host is known to have no time service of its own: the demo in a container.
    clock_must_be_kept: bool = True
    # Whoever compares the time in the picture with the time of the recording notices this.
    camera_clock_us: tuple[int, int] = (5 * US_PER_SECOND, 4 * US_PER_SECOND)
    # Processors of small hosts throttle at 90 to 100.
    hot_c: tuple[float, float] = (85, 80)
    # How long evidence stands before it is a condition. Pictures come each 5 s, or each 8 where a camera
    # sends keyframes that rarely: three of them in a row, or two. The first picture of a frozen camera
    # still differs, so this is 8 + 8 + 8 s at worst, and the heartbeat's 5.
    picture_us: int = 8 * US_PER_SECOND
    # Sound comes in batches of two seconds: 1 + 2 s until a silent one is heard, 2 until it is looked at.
    sound_us: int = 18 * US_PER_SECOND
    hum_us: int = 15 * US_PER_SECOND
    host_us: int = 10 * US_PER_SECOND
    # How long the contrary stands before a condition is over.
    clear_us: int = 5 * US_PER_SECOND
    # Measurements that stop say nothing any more.
    stale_us: int = 30 * US_PER_SECOND
    # Pictures are offered and none is measured.
    unchecked_us: int = 10 * US_PER_SECOND
    # What a scene's detail is, is learnt over this long, and believed after that many pictures.
    detail_memory: float = 1 / 100
    detail_pictures: int = 12


@dataclass(frozen=True, slots=True)
class Active:
    """A condition that is on. `source`: the camera, or empty for the host; `since_us`: its first evidence."""

    condition: Condition
    source: str
    since_us: int
    detail: str


@dataclass(slots=True)
class _Sign:
    """Evidence of one condition, and whether it is one. `detail` is the latest that spoke for it."""

    raise_us: int
    clear_us: int
    on: bool = False
    since_us: int | None = None
    contrary_us: int | None = None
    seen_us: int = 0
    detail: str = ""

    def see(self, evident: bool | None, at_us: int, detail: str) -> None:
        """None: neither this nor the contrary."""
        self.seen_us = at_us
        if evident is None:
            return
        if evident:
            self.contrary_us = None
            self.detail = detail
            self.since_us = at_us if self.since_us is None else self.since_us
            self.on = self.on or at_us - self.since_us >= self.raise_us
            return
        self.contrary_us = at_us if self.contrary_us is None else self.contrary_us
        if not self.on or at_us - self.contrary_us >= self.clear_us:
            self.on, self.since_us = False, None


@dataclass(slots=True)
class _Scene:
    """What a source looks and sounds like when it is well."""

    detail: float = 0.0
    pictures: int = 0
    clipped_us: deque[int] = field(default_factory=deque)


class HealthRules:
    """Belongs to one thread. Instants may come in any order of sources, but not go back within one."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._signs: dict[tuple[Condition, str], _Sign] = {}
        self._scenes: dict[str, _Scene] = {}

    def active(self, now_us: int) -> list[Active]:
        """What is wrong now, in the order of Condition; what has not been measured lately is not."""
        for key, sign in list(self._signs.items()):
            if now_us - sign.seen_us > self._limits.stale_us:
                del self._signs[key]
        order = list(Condition)
        found = [
            Active(condition, source, sign.since_us or sign.seen_us, sign.detail)
            for (condition, source), sign in self._signs.items()
            if sign.on
        ]
        return sorted(found, key=lambda each: (order.index(each.condition), each.source))

    def see_picture(self, source: str, facts: PictureFacts, at_us: int) -> None:
        """At most one condition of a picture has evidence: a black one is still, flat and soft as well."""
        limits = self._limits
        evidence = self._picture_evidence(source, facts)
        details = {
            Condition.PICTURE_BLACK: f"luma up to {facts.bright:.0f}",
            Condition.PICTURE_COVERED: f"luma {facts.dark:.0f} to {facts.bright:.0f}",
            Condition.PICTURE_FROZEN: f"difference {facts.difference or 0:.2f}",
            Condition.PICTURE_BLURRED: f"detail {facts.detail:.4f}, usually {self._scene(source).detail:.4f}",
        }
        for condition, evident in evidence.items():
            self._see(condition, source, evident, at_us, details[condition], limits.picture_us)
        self._see(Condition.PICTURE_UNCHECKED, source, False, at_us, "", limits.unchecked_us)

    def miss_picture(self, source: str, at_us: int, reason: str) -> None:
        """A picture was there and could not be measured."""
        self._see(Condition.PICTURE_UNCHECKED, source, True, at_us, reason, self._limits.unchecked_us)

    def see_sound(self, source: str, levels: Levels, at_us: int) -> None:
        limits = self._limits
        silent = _between(-levels.rms_dbfs, -limits.silent_dbfs[0], -limits.silent_dbfs[1])
        self._see(
            Condition.SOUND_SILENT, source, silent, at_us, f"{levels.rms_dbfs:.0f} dBFS", limits.sound_us
        )
        clipped_us = self._scene(source).clipped_us
        if levels.clipped_share >= limits.clipped_share:
            clipped_us.append(at_us)
        while clipped_us and at_us - clipped_us[0] > limits.clipping_window_us:
            clipped_us.popleft()
        clipping = True if len(clipped_us) >= limits.clipping_seconds else None if clipped_us else False
        detail = f"{len(clipped_us)} of {limits.clipping_window_us // US_PER_SECOND} s"
        self._see(Condition.SOUND_CLIPPING, source, clipping, at_us, detail, 0)
        hum = _between(levels.hum_dbfs, *limits.hum_dbfs)
        if hum and levels.hum_ratio < limits.hum_ratio:
            hum = None
        self._see(Condition.SOUND_HUM, source, hum, at_us, f"{levels.hum_dbfs:.0f} dBFS", limits.hum_us)

    def see_recording(self, source: str, state: RecordingState, at_us: int) -> None:
        """What of the sound is recorded just now, while something is."""
        limits = self._limits
        self._see(Condition.SOUND_MISSING, source, state.sound_missing, at_us, "", limits.host_us)
        replaced = state.microphone_replaced and not state.sound_missing
        self._see(Condition.MICROPHONE_REPLACED, source, replaced, at_us, "", limits.host_us)

    def see_camera_clock(self, source: str, error_us: int, at_us: int) -> None:
        """`error_us`: the camera's clock minus the host's."""
        evident = _between(abs(error_us), *self._limits.camera_clock_us)
        detail = f"{error_us / US_PER_SECOND:+.0f} s"
        self._see(Condition.CAMERA_CLOCK_ERROR, source, evident, at_us, detail, self._limits.picture_us)

    def see_host(self, facts: HostFacts, at_us: int) -> None:
        limits = self._limits
        for condition, evident, detail in (
            (Condition.DISK_LOW, self._disk_low(facts), _disk_detail(facts)),
            (
                Condition.SPOOL_OLD,
                facts.spool_age_us > limits.spool_old_us,
                f"{facts.spool_age_us // (60 * US_PER_MINUTE)} h",
            ),
            (
                Condition.SHIPPING_LATE,
                facts.spool_age_us > limits.shipping_late_us,
                f"{facts.spool_age_us // US_PER_MINUTE} min",
            ),
            (
                Condition.CLOCK_ERROR,
                facts.clock_uncertainty_us > limits.clock_uncertainty_us
                or (facts.clock_estimated and limits.clock_must_be_kept),
                "no time service" if facts.clock_estimated else f"{facts.clock_uncertainty_us // 1000} ms",
            ),
        ):
            self._see(condition, "", evident, at_us, detail, limits.host_us)
        if facts.temperature_c is not None:
            evident = _between(facts.temperature_c, *limits.hot_c)
            self._see(Condition.HOT, "", evident, at_us, f"{facts.temperature_c:.0f} °C", limits.host_us)

    def _picture_evidence(self, source: str, facts: PictureFacts) -> dict[Condition, bool | None]:
        limits = self._limits
        difference = facts.difference
        found = {
            Condition.PICTURE_BLACK: _between(-facts.bright, *(-each for each in limits.black_bright)),
            Condition.PICTURE_COVERED: _between(
                facts.dark - facts.bright, *(-each for each in limits.covered_span)
            ),
            # None before there is a second picture: what was true of the one before the break stays.
            Condition.PICTURE_FROZEN: None
            if difference is None
            else _between(-difference, *(-each for each in limits.frozen_difference)),
        }
        usual = found[Condition.PICTURE_BLACK] is False and found[Condition.PICTURE_COVERED] is False
        learn = usual and not found[Condition.PICTURE_FROZEN]
        found[Condition.PICTURE_BLURRED] = self._blurred(source, facts, learn=learn)
        stronger = False
        for condition, evident in found.items():
            found[condition] = False if stronger else evident
            stronger = stronger or bool(evident)
        return found

    def _blurred(self, source: str, facts: PictureFacts, *, learn: bool) -> bool | None:
        limits, scene = self._limits, self._scene(source)
        evident = _between(-facts.detail, *(-each for each in limits.blurred_detail))
        if scene.pictures >= limits.detail_pictures and evident is not True:
            part = _between(-facts.detail / scene.detail, *(-each for each in limits.blurred_part))
            evident = None if evident is None and part is False else part
        if learn and evident is False:
            scene.pictures += 1
            weight = max(limits.detail_memory, 1 / scene.pictures)
            scene.detail += (facts.detail - scene.detail) * weight
        return evident

    def _disk_low(self, facts: HostFacts) -> bool | None:
        free = facts.disk_free_bytes
        low = False if free is None else _between(-free, *(-each for each in self._limits.disk_free_bytes))
        if low is True or not facts.spool_limit_bytes:
            return low
        full = _between(facts.spool_bytes / facts.spool_limit_bytes, *self._limits.spool_part)
        return full if low is False or full else None

    def _scene(self, source: str) -> _Scene:
        return self._scenes.setdefault(source, _Scene())

    def _see(
        self, condition: Condition, source: str, evident: bool | None, at_us: int, detail: str, raise_us: int
    ) -> None:
        sign = self._signs.get((condition, source))
        if sign is None:
            sign = self._signs[condition, source] = _Sign(raise_us, self._limits.clear_us)
        sign.see(evident, at_us, detail)


def _between(value: float, evident_from: float, contrary_to: float) -> bool | None:
    """True at or above the first threshold, False at or below the second (lower) one, None between."""
    return True if value >= evident_from else False if value <= contrary_to else None


def _disk_detail(facts: HostFacts) -> str:
    free = "" if facts.disk_free_bytes is None else f"{facts.disk_free_bytes / 10**9:.1f} GB free, "
    return f"{free}{facts.spool_bytes / 10**9:.1f} GB waiting"
