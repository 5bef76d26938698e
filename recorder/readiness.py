"""Whether a room could record: when it has to prove that, and what was found.

Fifteen minutes before the first window of a local day each room looks at its cameras, its sound, its
clock and its disk as recording will need them. Early enough for somebody to plug a cable in.

Pure: fed with the configuration, instants (UTC microseconds) and measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recorder.host_watch import MAX_UNCERTAINTY_US
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, local_date
from recorder.intervals import Interval
from recorder.rooms import RoomConfiguration
from recorder.working_hours import next_window, window_at, windows

AHEAD_US = 15 * US_PER_MINUTE
AGAIN_US = US_PER_MINUTE
# The recorder connects five seconds before the window; a camera that serves one client must be free then.
_FREE_BEFORE_US = 6 * US_PER_SECOND
# Opening a camera may take 6 s (its time-out), looking at it takes 4.
_LOOK_US = 10 * US_PER_SECOND

# Of 219 steps between black and white. A dark room has a lit window, a lamp of some device or noise; a
# covered lens and a dead sensor have nothing.
_UNIFORM_SPREAD = 8
_BLACK_LUMA = 32  # black is 16
# What an A-law coder makes of digital silence is at most one step of it, -72 dB; air in a room is louder.
SILENT_DBFS = -70.0
# Bit rates are measured over seconds; an hour of meetings is livelier than an empty room.
_RATE_MARGIN = 1.25


@dataclass(frozen=True, slots=True)
class CameraLook:
    """What came from a camera in a few seconds.

    `error`: it could not be opened; `refused`: because of the password or the path. `luma_spread`: between
    the darkest and the brightest hundredth of a keyframe; None: none could be decoded. `sound_dbfs`: half
    of peak to peak; None: no sound came.
    """

    error: str = ""
    refused: bool = False
    luma_mean: int | None = None
    luma_spread: int | None = None
    sound_dbfs: float | None = None
    bits_per_s: int = 0


@dataclass(frozen=True, slots=True)
class HostLook:
    """`free_bytes`: what the spool may still take; `day_us`: recorded time of the day that is proved for.

    `server_error`: why the last heartbeat was not answered, or nothing.
    """

    uncertainty_us: int
    estimated: bool
    accepts_footage: bool
    free_bytes: int
    day_us: int
    server_error: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at. `code` says what is wrong with it and is empty where nothing is.

    A warning keeps no room from being ready. `detail` is for people: numbers, never a picture.
    """

    item: str
    source: str | None
    code: str
    detail: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`checked_us`: when the looking ended."""

    checked_us: int
    items: tuple[Item, ...]

    @property
    def ready(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> list[Item]:
        return [item for item in self.items if item.code and not item.warning]

    def document(self) -> list[dict[str, Any]]:
        """The items as the heartbeat bears them."""
        return [
            {
                "item": each.item,
                "source": each.source,
                "code": each.code,
                "detail": each.detail,
                "warning": each.warning,
            }
            for each in self.items
        ]


@dataclass(frozen=True, slots=True)
class Proof:
    """A room has to be found ready at or after `from_us` and before `opens_us`, when a window opens."""

    from_us: int
    opens_us: int


def first_proof(configuration: RoomConfiguration, now_us: int) -> Proof | None:
    """The proof that is due now: from 15 minutes before the first window of a local date to its opening.

    A window is the first one when no window begins on its date before it. None while a window is open.
    """
    upcoming = _upcoming(configuration, now_us)
    if upcoming is None or not _is_first(configuration, upcoming):
        return None
    proof = Proof(upcoming.start_us - AHEAD_US, upcoming.start_us)
    return proof if now_us >= proof.from_us else None


def proof_of_start(configuration: RoomConfiguration, now_us: int, started_us: int) -> Proof | None:
    """The proof of an agent that started between windows of a date, where a window is still to come."""
    upcoming = _upcoming(configuration, now_us)
    if upcoming is None or _is_first(configuration, upcoming):
        return None
    zone = configuration.timezone
    first = windows(configuration, local_date(upcoming.start_us, zone))[0]
    # What was recorded since the start has proved it already.
    recorded = any(each.end_us > started_us for each in _begun(configuration, now_us))
    if started_us < first.start_us - AHEAD_US or recorded:
        return None
    return Proof(started_us, upcoming.start_us)


def check_is_due(proof: Proof, last: Verdict | None, now_us: int, cameras: int) -> bool:
    """Whether to look now. Again each minute until the room was found ready, or it is too late to look."""
    if now_us > proof.opens_us - _FREE_BEFORE_US - cameras * _LOOK_US:
        return False
    if last is None or last.checked_us < proof.from_us or last.checked_us > now_us:
        return True
    return not last.ready and now_us >= last.checked_us + AGAIN_US


def recorded_us(configuration: RoomConfiguration, proof: Proof) -> int:
    """Recorded time of the local date whose window the proof is for."""
    day = local_date(proof.opens_us, configuration.timezone)
    return sum(each.end_us - each.start_us for each in windows(configuration, day))


def judge(
    cameras: Mapping[str, CameraLook], microphone: float | str | None, host: HostLook, checked_us: int
) -> Verdict:
    """`microphone`: its level in dB of full scale, what is wrong with it, or None where there is none."""
    items: list[Item] = []
    for source, look in cameras.items():
        items += _camera_items(source, look)
    items += _sound_items(cameras, microphone)
    items.append(_clock_item(host))
    items.append(_disk_item(host, sum(look.bits_per_s for look in cameras.values())))
    if host.server_error:
        items.append(Item("server", None, "server_away", host.server_error, warning=True))
    return Verdict(checked_us, tuple(items))


def _camera_items(source: str, look: CameraLook) -> list[Item]:
    if look.error:
        code = "camera_refused" if look.refused else "camera_unreachable"
        return [Item("camera", source, code, look.error)]
    if look.luma_spread is None or look.luma_mean is None:
        picture = Item("picture", source, "picture_missing", "no keyframe could be decoded")
    else:
        code = ""
        if look.luma_spread < _UNIFORM_SPREAD:
            code = "picture_black" if look.luma_mean < _BLACK_LUMA else "picture_uniform"
        picture = Item("picture", source, code, f"luma {look.luma_mean}, spread {look.luma_spread}")
    return [Item("camera", source, "", f"{look.bits_per_s // 1000} kbit/s"), picture]


def _sound_items(cameras: Mapping[str, CameraLook], microphone: float | str | None) -> list[Item]:
    """The microphone, or else a camera's sound, which is what would be recorded in its place."""
    opened = [look for look in cameras.values() if not look.error]
    level = max((look.sound_dbfs for look in opened if look.sound_dbfs is not None), default=None)
    camera_heard = level is not None and level > SILENT_DBFS
    items = []
    if microphone is not None:
        detail = microphone if isinstance(microphone, str) else f"peak {microphone:.0f} dBFS"
        heard = not isinstance(microphone, str) and microphone > SILENT_DBFS
        code = "" if heard else "microphone_lost"
        items.append(Item("sound", None, code, detail, warning=bool(code) and camera_heard))
        if heard:
            return items
    if cameras and not opened:
        return items  # nothing can be said about the sound of a camera that is not there
    if level is None:
        code, detail = "sound_missing", "no sound came"
    else:
        code, detail = "" if camera_heard else "sound_silent", f"peak {level:.0f} dBFS"
    if not (code and items):
        items.append(Item("sound", "camera", code, detail))
    return items


def _clock_item(host: HostLook) -> Item:
    detail = f"known to {host.uncertainty_us / 1000:.0f} ms"
    if host.uncertainty_us > MAX_UNCERTAINTY_US:
        return Item("clock", None, "clock_unknown", detail)
    if host.estimated:
        return Item("clock", None, "clock_estimated", "no time service vouches for it", warning=True)
    return Item("clock", None, "", detail)


def _disk_item(host: HostLook, bits_per_s: int) -> Item:
    needed = int(bits_per_s * _RATE_MARGIN / 8 * host.day_us / US_PER_SECOND)
    detail = f"{host.free_bytes / 1e9:.1f} GB free, the day needs {needed / 1e9:.1f} GB"
    if not host.accepts_footage:
        return Item("disk", None, "spool_full", detail)
    return Item("disk", None, "disk_short" if needed > host.free_bytes else "", detail)


def _upcoming(configuration: RoomConfiguration, now_us: int) -> Interval | None:
    """The next window, when none is open."""
    if window_at(configuration, now_us):
        return None
    return next_window(configuration, now_us)


def _is_first(configuration: RoomConfiguration, window: Interval) -> bool:
    of_day = windows(configuration, local_date(window.start_us, configuration.timezone))
    return not of_day or of_day[0].start_us >= window.start_us


def _begun(configuration: RoomConfiguration, now_us: int) -> list[Interval]:
    of_day = windows(configuration, local_date(now_us, configuration.timezone))
    return [each for each in of_day if each.start_us <= now_us]
