"""Readiness as the board shows it: what rooms have proved before their first window, in words.

The agent's verdict is its own; here stands how long it counts. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from archive.room_states import SILENT_AFTER_US, RoomState
from recorder.instants import US_PER_SECOND, local_date
from recorder.intervals import Interval
from recorder.readiness import first_proof
from recorder.rooms import RoomConfiguration
from recorder.working_hours import window_at, windows, windows_between
from retrieval_api.i18n import N_

# An agent begins within five seconds of the quarter, takes some ten for each camera and says it five later.
_GRACE_US = 90 * US_PER_SECOND


class Reason(NamedTuple):
    """What is wrong, and what a person can do about it."""

    text: str
    advice: str


REASONS: Final[dict[str, Reason]] = {
    "camera_unreachable": Reason(
        N_("камера не відкривається"), N_("Перевірте живлення і мережевий кабель камери.")
    ),
    "camera_refused": Reason(
        N_("камера не впускає"),
        N_("Перевірте адресу камери, ім'я і пароль у налаштуваннях кабінету."),
    ),
    "picture_missing": Reason(N_("зображення не надходить"), N_("Вимкніть і ввімкніть живлення камери.")),
    "picture_black": Reason(N_("зображення чорне"), N_("Увімкніть світло і зніміть з об'єктива кришку.")),
    "picture_uniform": Reason(
        N_("на зображенні нічого не видно"),
        N_("Приберіть те, що закриває об'єктив, або протріть його."),
    ),
    "sound_missing": Reason(
        N_("звук не надходить"), N_("Увімкніть звук у налаштуваннях камери або під'єднайте мікрофон.")
    ),
    "sound_silent": Reason(
        N_("мікрофон мовчить"), N_("Перевірте, чи мікрофон увімкнено і чи не вимкнено його кнопкою.")
    ),
    "microphone_lost": Reason(
        N_("мікрофон кабінету не чути"), N_("Перевірте кабель мікрофона і чи його ввімкнено.")
    ),
    "clock_unknown": Reason(
        N_("точний час невідомий"),
        N_("Перевірте службу часу на комп'ютері кабінету: без точного часу запис не ведеться."),
    ),
    "clock_estimated": Reason(
        N_("точний час не підтверджено"), N_("Перевірте службу часу на комп'ютері кабінету.")
    ),
    "spool_full": Reason(
        N_("диск комп'ютера запису заповнений"),
        N_("Відновіть зв'язок із сервером: записане буде надіслано, і місце звільниться."),
    ),
    "disk_short": Reason(
        N_("на диску замало місця на цей день"),
        N_("Звільніть місце на комп'ютері кабінету. Поки є зв'язок із сервером, запис поміститься."),
    ),
    "server_away": Reason(
        N_("немає зв'язку із сервером"), N_("Запис триватиме і буде надісланий потім. Перевірте мережу.")
    ),
    "agent_down": Reason(
        N_("немає зв'язку з комп'ютером запису"),
        N_("Перевірте, чи ввімкнено комп'ютер кабінету і чи є мережа."),
    ),
    "unproven": Reason(
        N_("готовність не перевірено"),
        N_("Перезапустіть службу запису цього кабінету. Якщо не допомогло, покличте адміністратора."),
    ),
}


class Shortcoming(NamedTuple):
    """`detail` is the agent's own word; `source` the camera's name where a room has several."""

    code: str
    detail: str
    source: str = ""

    @property
    def text(self) -> str:
        """A message id; a code that is not known here is shown as it is."""
        return REASONS[self.code].text if self.code in REASONS else self.code


@dataclass(frozen=True, slots=True)
class RoomReadiness:
    """`counted`: the room's first window of the day is less than 15 minutes ahead."""

    state: Literal["ready", "not_ready", "checking"]
    counted: bool
    checked_us: int | None = None
    reasons: tuple[Shortcoming, ...] = ()
    warnings: tuple[Shortcoming, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardReadiness:
    """All rooms of which something is to be said, by id. `ready` of `total` count towards the headline."""

    rooms: Mapping[str, RoomReadiness]

    @property
    def total(self) -> int:
        return sum(each.counted for each in self.rooms.values())

    @property
    def ready(self) -> int:
        return sum(each.counted and each.state == "ready" for each in self.rooms.values())

    def is_unready(self, room: str) -> bool:
        return room in self.rooms and self.rooms[room].state == "not_ready"

    def is_counted(self, room: str) -> bool:
        return room in self.rooms and self.rooms[room].counted


class _ToldItem(BaseModel):
    source: Annotated[str, Field(max_length=64)] | None = None
    code: Annotated[str, Field(max_length=64)] = ""
    detail: Annotated[str, Field(max_length=1000)] = ""
    warning: bool = False


class _Told(BaseModel):
    """What an agent says of itself in its heartbeat."""

    state: Literal["ready", "not_ready", "checking", "unknown"]
    checked_us: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    items: Annotated[list[_ToldItem], Field(max_length=64)] = Field(default_factory=list)


def of_rooms(
    states: Iterable[RoomState], configurations: Mapping[str, RoomConfiguration], now_us: int
) -> BoardReadiness:
    found = {
        state.room: judged
        for state in states
        if (judged := judge(configurations[state.room], state.heartbeat, state.last_seen_us, now_us))
    }
    return BoardReadiness(found)


def judge(
    configuration: RoomConfiguration, heartbeat: Mapping[str, Any], last_seen_us: int | None, now_us: int
) -> RoomReadiness | None:
    """None where there is nothing to prove and nothing proved: in windows, at night, on closed days.

    Before the first window a room without a heartbeat, and one without a verdict of its own since the
    quarter began, is not ready.
    """
    told = _told(heartbeat)
    silent = last_seen_us is None or now_us - last_seen_us > SILENT_AFTER_US
    proof = first_proof(configuration, now_us)
    if proof is None:
        fresh = told is not None and not silent and _is_of_now(configuration, told, now_us)
        return _verdict(told, counted=False) if told and fresh else None
    if silent:
        return RoomReadiness("not_ready", counted=True, reasons=(Shortcoming("agent_down", ""),))
    if told and told.checked_us is not None and told.checked_us >= proof.from_us:
        verdict = _verdict(told, counted=True)
        if verdict:
            return verdict
    if now_us < proof.from_us + _GRACE_US or (told and told.state == "checking"):
        return RoomReadiness("checking", counted=True)
    return RoomReadiness("not_ready", counted=True, reasons=(Shortcoming("unproven", ""),))


def _told(heartbeat: Mapping[str, Any]) -> _Told | None:
    """None also for what is no readiness: one agent must not be able to break the board of all."""
    try:
        return _Told.model_validate(heartbeat.get("readiness"))
    except ValidationError:
        return None


def _is_of_now(configuration: RoomConfiguration, told: _Told, now_us: int) -> bool:
    """Proved today between windows, with none since and another one still to come."""
    zone = configuration.timezone
    if told.checked_us is None or told.checked_us >= now_us or window_at(configuration, now_us):
        return False
    today = local_date(now_us, zone)
    of_day = windows(configuration, today)
    return (
        bool(of_day)
        and of_day[0].start_us < told.checked_us
        and now_us < of_day[-1].start_us
        and not windows_between(configuration, Interval(told.checked_us, now_us))
    )


def _verdict(told: _Told, *, counted: bool) -> RoomReadiness | None:
    if told.state not in ("ready", "not_ready"):
        return None
    wrong = [each for each in told.items if each.code]
    return RoomReadiness(
        "ready" if told.state == "ready" else "not_ready",
        counted,
        told.checked_us,
        tuple(_shortcoming(each) for each in wrong if not each.warning),
        tuple(_shortcoming(each) for each in wrong if each.warning),
    )


def _shortcoming(item: _ToldItem) -> Shortcoming:
    named = item.source not in (None, "main", "camera")
    return Shortcoming(item.code, item.detail, item.source or "" if named else "")
