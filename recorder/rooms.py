"""The strict model of rooms.yaml: what is recorded, by what, when, and for how long it is kept.

`parse_rooms` reports every problem of a file at once, each with its line and key. `RoomConfiguration`
is one room's part of one version of the file: what an agent works from and what the archive judges a
segment by.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from recorder import strict_yaml
from recorder.errors import ConfigurationError, UnknownRoomError
from recorder.lookalikes import fold
from recorder.rooms_fields import (
    UNION_TAGS,
    Calendar,
    CameraUrl,
    Host,
    Hours,
    Label,
    RoomId,
    SecretName,
    SoundDeviceName,
    Text,
    TimeZone,
    Transport,
)

# The source of a room without a camera.
SOUND_ALONE = "main"


class Problem(NamedTuple):
    """`line` counts from 1; `key` reads like `rooms[2].cameras[0].url`, empty for the whole file."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key + ': ' if self.key else ''}{self.message}"


class RoomsFileError(ConfigurationError):
    """A rooms file is wrong; one line for each problem: `FILE:LINE: KEY: what is wrong; what to do`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def _check_camera_names(cameras: tuple[Camera, ...]) -> tuple[Camera, ...]:
    names = [camera.name for camera in cameras]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two cameras are named {name!r}; give each `name` of its own")
    return cameras


def _absent_is_none(value: Any) -> Any:
    return None if value == "absent" else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Camera(_Strict):
    """One source of a room: an RTSP address, or the host of an ONVIF device that knows its own.

    `transport` carries its pictures: tcp through the connection that asks for them, udp beside it.
    """

    name: RoomId = "main"
    url: CameraUrl | None = None
    onvif: Host | None = None
    credentials: SecretName | None = None
    transport: Transport = "tcp"

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.onvif is None):
            raise ValueError("a camera needs either `url` or `onvif`; give exactly one of them")
        if self.transport == "udp" and self.url is not None and self.url.startswith("rtsps:"):
            raise ValueError("rtsps:// keeps all in its one connection; remove `transport: udp`")
        return self


class Microphone(_Strict):
    """A sound device of the room host, by its name, a part of it, or its number in the system's list.

    A device in use by its number is another one when one before it is plugged in: names are better.
    """

    device: SoundDeviceName
    channels: int = Field(1, ge=1, le=8)


class Room(_Strict):
    """`hours` and `calendar` are the room's own; None and {} mean the council's."""

    id: RoomId
    label: Label
    floor: int = Field(ge=-5, le=200)
    cameras: Annotated[tuple[Camera, ...], AfterValidator(_check_camera_names)] = ()
    microphone: Annotated[Microphone | None, BeforeValidator(_absent_is_none)] = None
    av_offset_ms: int = Field(0, ge=-5000, le=5000)
    also_recorded_by: tuple[Text, ...] = ()
    hours: Hours | None = None
    calendar: Calendar = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_to_record(self) -> Self:
        if not self.cameras and self.microphone is None:
            raise ValueError("has neither a camera nor a microphone; give it one")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """What records and signs for the room: each camera, or the microphone alone."""
        return tuple(camera.name for camera in self.cameras) or (SOUND_ALONE,)


class CouncilName(_Strict):
    uk: Text
    en: Text


class Council(_Strict):
    name: CouncilName
    timezone: TimeZone


class Retention(_Strict):
    """Whole months; see `working_hours.due_us` for what a month is."""

    months: int = Field(ge=1, le=12)


class RoomConfiguration(_Strict):
    """One room in one version of the file. Equal values serialise to equal JSON, and JSON comes back equal.

    `hours` are the room's own, or else the council's; `calendar` is the council's with the room's own
    dates laid over it.
    """

    version: int = Field(ge=0)
    council_name_uk: Text
    council_name_en: Text
    timezone: TimeZone
    retention_months: int = Field(ge=1, le=12)
    room: Room
    hours: Hours
    calendar: Calendar


class RoomsFile(_Strict):
    """A rooms file that has passed every check."""

    council: Council
    retention: Retention
    hours: Hours
    calendar: Calendar = Field(default_factory=dict)
    rooms: Annotated[tuple[Room, ...], Field(min_length=1)]

    def room(self, name: str) -> Room:
        """By id or label; case, dashes and Latin or Cyrillic look-alikes do not matter.

        Raises UnknownRoomError, which names the rooms there are.
        """
        wanted = fold(name)
        for room in self.rooms:
            if wanted in {fold(room.id), fold(room.label)}:
                return room
        known = ", ".join(room.label for room in self.rooms)
        raise UnknownRoomError(f"no room {name[:60]!r}; the rooms are {known}")

    def configuration(self, room_id: str, version: int) -> RoomConfiguration:
        """Raises UnknownRoomError."""
        room = self.room(room_id)
        return RoomConfiguration(
            version=version,
            council_name_uk=self.council.name.uk,
            council_name_en=self.council.name.en,
            timezone=self.council.timezone,
            retention_months=self.retention.months,
            room=room,
            hours=self.hours if room.hours is None else room.hours,
            calendar=dict(sorted({**self.calendar, **room.calendar}.items())),
        )


def parse_rooms(text: str, file: str = "rooms.yaml") -> RoomsFile:
    """Raises RoomsFileError with every problem found, in the order of the lines."""
    document = strict_yaml.read(text)
    faults = list(document.faults)
    parsed: RoomsFile | None = None
    if document.value is None and not faults:
        faults.append(strict_yaml.Fault(1, (), "the file is empty; begin with a copy of the shipped one"))
    elif not isinstance(document.value, dict) and not faults:
        faults.append(strict_yaml.Fault(1, (), "is no mapping; write council:, retention:, hours:, rooms:"))
    if isinstance(document.value, dict):
        broken = {fault.path for fault in faults}
        try:
            parsed = RoomsFile.model_validate(document.value)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                path = _path(detail["loc"])
                # pydantic counts only the valid items of a list: its own problems have been told.
                miscounted = detail["type"] == "too_short" and bool(detail["input"])
                if path not in broken and not miscounted:
                    faults.append(strict_yaml.Fault(document.line_of(path), path, _explain(detail, path)))
        faults += _twins(document)
    if faults or parsed is None:
        problems = {Problem(file, fault.line, _key(fault.path), fault.message): None for fault in faults}
        raise RoomsFileError(tuple(sorted(problems, key=lambda problem: problem.line)))
    return parsed


def load_rooms(path: Path) -> RoomsFile:
    """Raises ConfigurationError when the file cannot be read, RoomsFileError when it is wrong."""
    try:
        with path.open("rb") as opened:
            content = opened.read(strict_yaml.MAX_BYTES + 1)
        return parse_rooms(content.decode(), str(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RoomsFileError((Problem(str(path), line, "", "not UTF-8 text; save it as UTF-8"),)) from error


def shipped_rooms_text() -> str:
    """The seed of the live file: the seven rooms of the Ratusha."""
    return resources.files("recorder").joinpath("rooms.yaml").read_text(encoding="utf-8")


def _twins(document: strict_yaml.Document) -> list[strict_yaml.Fault]:
    """Ids and labels by which two rooms would answer, checked on the raw values: a fault elsewhere in the
    file must not hide them.
    """
    rooms = document.value.get("rooms") if isinstance(document.value, dict) else None
    owners: dict[str, tuple[int, str]] = {}
    faults = []
    for index, room in enumerate(rooms if isinstance(rooms, list) else []):
        for key in ("id", "label"):
            name = room.get(key) if isinstance(room, dict) else None
            if not isinstance(name, str):
                continue
            owner, of = owners.setdefault(fold(name), (index, name))
            if owner != index:
                path = ("rooms", index, key)
                first = document.line_of(("rooms", owner))
                message = f"{name!r} and {of!r} of the room in line {first} read alike; give it another {key}"
                faults.append(strict_yaml.Fault(document.line_of(path), path, message))
    return faults


# Which model stands where, to name the keys that an unknown one may have meant.
_MODELS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): RoomsFile,
    ("council",): Council,
    ("council", "name"): CouncilName,
    ("retention",): Retention,
    ("rooms",): Room,
    ("rooms", "cameras"): Camera,
    ("rooms", "microphone"): Microphone,
}
_EXPECTED = {
    "string_type": "must be text; write one value",
    "int_parsing": "must be a whole number; write it without a unit",
    "int_type": "must be a whole number; write one",
    "int_from_float": "must be a whole number; round it",
    "tuple_type": 'must be a list; write it as ["one", "two"] or as lines that begin with "-"',
    "dict_type": "must be a mapping; write it as key: value",
    "model_type": "must be a mapping; write it as key: value",
    "literal_error": 'must be closed or a list of windows, as in ["08:00-12:00"]',
    "string_too_short": "is empty; fill it in",
    "string_too_long": "is too long; shorten it",
    "too_short": "is empty; give at least one room",
    "missing": "is missing; add it",
}


def _path(loc: tuple[int | str, ...]) -> strict_yaml.Path:
    """Pydantic's location without what it adds: the marks of keys and of a union's branches."""
    return tuple(part for part in loc if part != "[key]" and part not in UNION_TAGS)


def _explain(detail: ErrorDetails, path: strict_yaml.Path) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        shape = tuple(part for part in path[:-1] if isinstance(part, str))
        known = list(_MODELS[shape].model_fields)
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else "remove it"
        return f"unknown key; {hint} (known here: {', '.join(known)})"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    return _EXPECTED.get(kind) or f"{detail['msg'][:1].lower()}{detail['msg'][1:]}; change it"


def _key(path: strict_yaml.Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
