"""What an ONVIF camera tells of itself, which of its streams is recorded, and what is asked of it. Pure.

These values cross from the process that speaks ONVIF to the one that records, as JSON.
"""

from __future__ import annotations

import re
import urllib.parse
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from recorder.errors import ProtokolError
from recorder.logging import redact

ONVIF_PORT = 80
# A recording can be cut, and a lost connection gone on with, at keyframes only.
MAX_GOP_S = 2
_FULL_HD = 1920 * 1080
# Below it a camera's profile is its second stream, for previews.
_HD = 1280 * 720
# The best first. H.264 plays in every browser, H.265 in some.
_CODECS = ("H264", "H265")
# Some makers' stream addresses hold the password in the path, as in /user=admin_password=x_channel=1.
_PATH_SECRET = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd)[=:])[^&/?;]*?(?=_\w+=|[&/?;]|$)")


class Failure(StrEnum):
    UNREACHABLE = "unreachable"
    NOT_ONVIF = "not_onvif"
    REFUSED = "refused"
    NO_STREAM = "no_stream"
    FAULTY = "faulty"


class OnvifError(ProtokolError):
    """A camera cannot be asked, or has nothing to record; the message names its host and what to do."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


class _Value(BaseModel):
    # An error that quotes its input would quote a password.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Profile(_Value):
    """One of a camera's streams. None: the camera does not say.

    `codec` as ONVIF writes it: H264, H265, JPEG…; `encoder`: the token of its video encoder's
    configuration; `uri`: where it is sent, without user and password.
    """

    token: str
    name: str
    codec: str | None = None
    width: int = 0
    height: int = 0
    fps: float | None = None
    bitrate_kbps: int | None = None
    gop_frames: int | None = None
    audio: str | None = None
    encoder: str | None = None
    uri: str | None = None

    @property
    def picture(self) -> str:
        codec = self.codec or "no picture"
        return f"{codec} {self.width}x{self.height}" if self.width else codec


class Device(_Value):
    """`clock_error_ms`: the camera's UTC minus the host's, None when it does not tell the time.

    `locked`: the rest needs a user and a password, and none was given. `reported_host`: the host in the
    addresses that the camera gave, where it is not the one it was asked at.
    """

    host: str
    manufacturer: str | None = None
    model: str | None = None
    firmware: str | None = None
    clock_error_ms: float | None = None
    clock_uncertainty_ms: float | None = None
    profiles: tuple[Profile, ...] = ()
    reported_host: str | None = None
    locked: bool = False


class GopChange(_Value):
    """Frames from keyframe to keyframe: before, what was asked for, what the camera says afterwards.

    `refusal`: why it did not change, in the camera's words.
    """

    before: int
    asked: int
    after: int
    refusal: str | None = None


class Choice(_Value):
    """The profile that is recorded and, for people, why."""

    profile: Profile
    reason: str


class Question(_Value):
    """`user` None: what a camera tells to everybody. `record`: choose a profile and shorten its GOP."""

    host: str
    user: str | None = None
    password: str | None = Field(None, repr=False)
    record: bool = False


class Answer(_Value):
    """`failure` with `message`, or `device`; `choice` and `gop` when they were asked for."""

    device: Device | None = None
    choice: Choice | None = None
    gop: GopChange | None = None
    failure: Failure | None = None
    message: str = ""


def split_host(host: str) -> tuple[str, int]:
    """`10.1.8.20:8000`, `[fd00::5]`, `cam-108` → the host without brackets, and the port of its ONVIF."""
    parts = urllib.parse.urlsplit(f"//{host}")
    return parts.hostname or host, parts.port or ONVIF_PORT


def choose_profile(device: Device) -> Choice:
    """The largest picture up to 1920x1080, in H.264 where there is a choice.

    What is larger still is better than a preview, and smaller is better than much larger. Raises
    OnvifError when no stream can be recorded.
    """
    if device.locked:
        raise OnvifError(
            f"camera {device.host} tells nothing without a user and a password; name them by `credentials`",
            Failure.REFUSED,
        )
    usable = [profile for profile in device.profiles if profile.codec in _CODECS and profile.uri]
    if not usable:
        offered = ", ".join(dict.fromkeys(profile.picture for profile in device.profiles)) or "nothing"
        raise OnvifError(
            f"camera {device.host} offers no H.264 or H.265 stream (it offers {offered}); "
            "set its video encoder to H.264",
            Failure.NO_STREAM,
        )
    chosen = min(usable, key=_preference)
    pixels = chosen.width * chosen.height
    if pixels > _FULL_HD:
        reason = "the smallest picture above 1920x1080; there is none of 1280x720 to 1920x1080"
    elif pixels < _HD:
        reason = "the largest picture; there is none of 1280x720 or more"
    else:
        reason = "the largest picture up to 1920x1080"
    if chosen.codec != _CODECS[0]:
        reason += "; no H.264 of that class"
    return Choice(profile=chosen, reason=f"{reason} ({len(usable)} of {len(device.profiles)} usable)")


def _preference(profile: Profile) -> tuple[float, ...]:
    """The smallest is the best; equals stay in the camera's order, which begins with the main stream."""
    pixels = profile.width * profile.height
    too_large, preview = pixels > _FULL_HD, pixels < _HD
    return (
        2 if preview else 1 if too_large else 0,
        _CODECS.index(profile.codec or ""),
        pixels if too_large else -pixels,
        -(profile.fps or 0),
        -(profile.bitrate_kbps or 0),
    )


def shorter_gop(profile: Profile) -> int | None:
    """The GOP to ask for, in frames; None when it is short enough, or unknown."""
    if not profile.gop_frames or not profile.fps:
        return None
    longest = max(1, int(MAX_GOP_S * profile.fps))
    return longest if profile.gop_frames > longest else None


def reachable_uri(uri: str, host: str) -> tuple[str, str | None]:
    """`uri` as it is reached from here, without user and password; and the camera's own host if it differs.

    Cameras behind address translation, with several interfaces or with none yet (0.0.0.0) name a host
    that leads elsewhere: the one that answered is right. Port and path are the camera's.
    Raises ValueError when it is no RTSP address.
    """
    parts = urllib.parse.urlsplit(uri.strip())
    if parts.scheme not in {"rtsp", "rtsps"} or not parts.hostname:
        raise ValueError("no RTSP address")
    asked, _ = split_host(host)
    netloc = f"[{asked}]" if ":" in asked else asked
    if parts.port is not None:
        netloc += f":{parts.port}"
    reported = None if parts.hostname.casefold() == asked.casefold() else parts.hostname
    return urllib.parse.urlunsplit(parts._replace(netloc=netloc)), reported


def shown(uri: str, password: str | None = None) -> str:
    """`uri` for logs and people: without what may be a password or is this one, wherever it stands."""
    text = _PATH_SECRET.sub(r"\1***", redact(uri))
    for secret in filter(None, (password, urllib.parse.quote(password or "", safe=""))):
        text = text.replace(secret, "***")
    return text


def clock_error(camera_us: int, sent_us: int, received_us: int) -> tuple[float, float]:
    """The camera's clock minus the host's, and the uncertainty, both in ms.

    `camera_us` is what the camera said, cut to the second, at some instant between `sent_us` and
    `received_us`, which are the host's UTC.
    """
    half_second_us = 500_000
    error_us = camera_us + half_second_us - (sent_us + received_us) / 2
    return error_us / 1000, (half_second_us + (received_us - sent_us) / 2) / 1000
