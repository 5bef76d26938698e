"""Asks an ONVIF camera what it is, what it sends and how long its GOP is; the only user of onvif and zeep.

Of onvif-zeep only the WSDL files, the services' names and the clock-adjusted digest are used. Its own
`ONVIFCamera` subscribes to a camera's events whenever it connects, keeps a cache in the user's home,
takes proxy settings out of the environment, and tells no error from another.

Heavy (some 45 MB): whoever records asks in a process of its own, `onvif_child`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, Self

import requests
import zeep
from lxml import etree
from requests.auth import HTTPDigestAuth
from zeep import exceptions as soap
from zeep.transports import Transport

from recorder.capture.onvif_device import (
    Choice,
    Device,
    Failure,
    GopChange,
    OnvifError,
    Profile,
    clock_error,
    reachable_uri,
    shorter_gop,
    split_host,
)

# Cameras answer in milliseconds, slow ones in a second.
_TIMEOUT_S = 5.0
_REFUSED_STATUS = {401, 403}
_US = 1_000_000


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Importing onvif sets up the root logger and silences zeep; neither is its business."""
    root, of_zeep = logging.getLogger(), logging.getLogger("zeep.client")
    handlers, level, zeep_level = root.handlers[:], root.level, of_zeep.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        of_zeep.setLevel(zeep_level)


with _logging_kept():
    from onvif.client import SERVICES, UsernameDigestTokenDtDiff
    from onvif.client import __file__ as _onvif_file

# What the package installs beside itself.
_WSDL_DIR = Path(_onvif_file).parents[1] / "wsdl"


class _CameraTransport(Transport):
    """To one camera and nowhere else: no proxy, no netrc, no redirect, no schema from the network."""

    def __init__(self, login: tuple[str, str] | None) -> None:
        session = requests.Session()
        session.trust_env = False
        session.max_redirects = 0
        if login:
            # Sent only to a camera that asks for HTTP digest besides, or instead of, WS-Security.
            session.auth = HTTPDigestAuth(*login)
        super().__init__(timeout=_TIMEOUT_S, operation_timeout=_TIMEOUT_S, session=session)  # type: ignore[no-untyped-call]
        self.status = 0

    def post(self, address: str, message: Any, headers: Any) -> Any:
        self.status = 0
        response = super().post(address, message, headers)  # type: ignore[no-untyped-call]
        self.status = response.status_code
        return response

    def load(self, url: str) -> bytes:
        if urllib.parse.urlsplit(url).scheme in {"http", "https"}:
            raise OSError(f"{url} is not among the installed WSDL files")
        content: bytes = super().load(url)  # type: ignore[no-untyped-call]
        return content


class Camera:
    """A conversation with one camera; every method raises OnvifError. Close it."""

    def __init__(self, host: str, user: str | None = None, password: str | None = None) -> None:
        """`host` as rooms.yaml has it. Without `user` the camera is asked what it tells to everybody."""
        self.host = host
        name, port = split_host(host)
        self._authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        self._login = (user, password or "") if user is not None else None
        self._transport = _CameraTransport(self._login)
        self._clock_ahead = dt.timedelta()
        self._media: Any = None
        self._client, self._management = self._service("devicemgmt", "/onvif/device_service")

    def close(self) -> None:
        self._transport.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> Device:
        """Everything that is asked of a camera before it is recorded; nothing is changed."""
        device = Device(host=self.host)
        clock = self._ask_clock()
        if clock:
            device = Device(host=self.host, clock_error_ms=clock[0], clock_uncertainty_ms=clock[1])
            self._clock_ahead = dt.timedelta(milliseconds=clock[0])
        self._authenticate(self._client)
        try:
            about = self._call(self._management, "GetDeviceInformation")
            profiles, reported = self._profiles()
        except OnvifError as error:
            if error.failure is Failure.REFUSED and self._login is None:
                return device.model_copy(update={"locked": True})
            raise
        return device.model_copy(
            update={
                "manufacturer": _text(about, "Manufacturer"),
                "model": _text(about, "Model"),
                "firmware": _text(about, "FirmwareVersion"),
                "profiles": profiles,
                "reported_host": reported,
            }
        )

    def shorten_gop(self, choice: Choice) -> GopChange | None:
        """Asks for a keyframe every two seconds where they are rarer; None when there is nothing to ask.

        A camera that refuses, or says yes and goes on as before, is told by the result, not by an error.
        """
        profile = choice.profile
        wanted = shorter_gop(profile)
        if wanted is None or profile.encoder is None or profile.gop_frames is None:
            return None
        before, after, refusal = profile.gop_frames, profile.gop_frames, None
        try:
            configuration = self._encoder(profile.encoder)
            configuration.H264.GovLength = wanted
            self._call(
                self._media,
                "SetVideoEncoderConfiguration",
                Configuration=configuration,
                ForcePersistence=True,
            )
            after = self._encoder(profile.encoder).H264.GovLength or before
        except OnvifError as error:
            refusal = str(error)
        except (AttributeError, TypeError):
            refusal = "the camera does not tell the configuration of its encoder"
        return GopChange(before=before, asked=wanted, after=after, refusal=refusal)

    def _encoder(self, token: str) -> Any:
        return self._call(self._media, "GetVideoEncoderConfiguration", ConfigurationToken=token)

    # --- the clock

    def _ask_clock(self) -> tuple[float, float] | None:
        """Before anything else and without a password, whose digest bears the camera's own time.

        Returns the error and its uncertainty in ms; None when the camera does not tell: it is then taken
        to be right.
        """
        sent_us = time.time_ns() // 1000
        try:
            said = self._call(self._management, "GetSystemDateAndTime")
        except OnvifError as error:
            if error.failure is Failure.REFUSED:
                return None  # some cameras tell not even the time to strangers
            raise
        received_us = time.time_ns() // 1000
        try:
            day, clock = said.UTCDateTime.Date, said.UTCDateTime.Time
            # A leap second is no second of datetime.
            camera = dt.datetime(day.Year, day.Month, day.Day, tzinfo=dt.UTC) + dt.timedelta(
                hours=clock.Hour, minutes=clock.Minute, seconds=clock.Second
            )
        except (AttributeError, TypeError, ValueError, OverflowError):
            return None
        return clock_error(round(camera.timestamp() * _US), sent_us, received_us)

    def _authenticate(self, client: Any) -> None:
        if self._login:
            client.wsse = UsernameDigestTokenDtDiff(
                *self._login, dt_diff=self._clock_ahead, use_digest=True, zulu_timestamp=True
            )

    # --- streams

    def _profiles(self) -> tuple[tuple[Profile, ...], str | None]:
        capabilities = self._call(self._management, "GetCapabilities", Category="All")
        media = getattr(capabilities, "Media", None)
        if media is None or not media.XAddr:
            raise OnvifError(
                f"camera {self.host} has no ONVIF media service; give its `url: rtsp://…` instead of `onvif`",
                Failure.NO_STREAM,
            )
        client, self._media = self._service("media", urllib.parse.urlsplit(media.XAddr).path)
        self._authenticate(client)
        profiles, reported = [], None
        for found in self._call(self._media, "GetProfiles") or ():
            profile = _profile(found)
            uri, other = self._stream_uri(profile.token)
            reported = reported or other
            profiles.append(profile.model_copy(update={"uri": uri}))
        return tuple(profiles), reported

    def _stream_uri(self, token: str) -> tuple[str | None, str | None]:
        """See `reachable_uri`; nothing of a profile without a stream, as those for analytics are."""
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        try:
            media = self._call(self._media, "GetStreamUri", StreamSetup=setup, ProfileToken=token)
            return reachable_uri(str(media.Uri), self.host)
        except OnvifError as error:
            if error.failure not in {Failure.FAULTY, Failure.NOT_ONVIF}:
                raise
        except (ValueError, AttributeError):
            pass
        return None, None

    # --- SOAP

    def _service(self, name: str, path: str) -> tuple[Any, Any]:
        """The host in a service's address may be as wrong as that of a stream: only its path is used."""
        definition = SERVICES[name]
        settings = zeep.Settings(strict=False)
        wsdl = str(_WSDL_DIR / definition["wsdl"])
        client = zeep.Client(wsdl, transport=self._transport, settings=settings)
        binding = f"{{{definition['ns']}}}{definition['binding']}"
        return client, client.create_service(binding, f"http://{self._authority}{path}")

    def _call(self, service: Any, operation: str, **arguments: Any) -> Any:
        try:
            return service[operation](**arguments)
        except requests.exceptions.TooManyRedirects:
            self._not_onvif()
        except requests.exceptions.RequestException as error:
            raise OnvifError(
                f"camera {self.host} does not answer by ONVIF ({_reason(error)}); "
                "check its address, its ONVIF port and its power",
                Failure.UNREACHABLE,
            ) from None
        except soap.Fault as fault:
            self._fault(operation, fault)
        except (soap.Error, etree.LxmlError):
            if self._transport.status in _REFUSED_STATUS:
                self._refused()
            if self._transport.status >= 500:
                self._faulty(operation, f"HTTP {self._transport.status}")
            self._not_onvif()
        except (AttributeError, KeyError, TypeError, ValueError):
            # zeep, of an answer that is well-formed and makes no sense.
            self._not_onvif()

    def _fault(self, operation: str, fault: soap.Fault) -> NoReturn:
        codes = {str(getattr(code, "localname", code)) for code in fault.subcodes or ()}
        if "NotAuthorized" in codes or self._transport.status in _REFUSED_STATUS:
            self._refused()
        if not codes and self._transport.status == 404:
            self._not_onvif()
        words = " ".join(str(fault.message or "").split())[:100]
        self._faulty(operation, " ".join([*sorted(codes), words]).strip() or f"HTTP {self._transport.status}")

    def _refused(self) -> NoReturn:
        raise OnvifError(
            f"camera {self.host} refuses the user or the password by ONVIF; many cameras keep users of ONVIF "
            "apart: add this one there, or correct the secret that `credentials` names",
            Failure.REFUSED,
        ) from None

    def _not_onvif(self) -> NoReturn:
        raise OnvifError(
            f"{self.host} answers, but not as an ONVIF camera; switch ONVIF on in its settings, "
            "or give its `url: rtsp://…` instead of `onvif`",
            Failure.NOT_ONVIF,
        ) from None

    def _faulty(self, operation: str, words: str) -> NoReturn:
        raise OnvifError(
            f"camera {self.host} fails at {operation}: {words}; if it goes on, restart the camera",
            Failure.FAULTY,
        ) from None


def describe(host: str, user: str | None = None, password: str | None = None) -> Device:
    """See `Camera.describe`. Raises OnvifError."""
    with Camera(host, user, password) as camera:
        return camera.describe()


def _profile(found: Any) -> Profile:
    encoder = getattr(found, "VideoEncoderConfiguration", None)
    sound = getattr(found, "AudioEncoderConfiguration", None)
    values: dict[str, Any] = {"token": str(found.token), "name": _text(found, "Name") or ""}
    values["audio"] = _text(sound, "Encoding")
    if encoder is not None:
        resolution, rate = encoder.Resolution, encoder.RateControl
        values |= {
            "codec": (_text(encoder, "Encoding") or "").upper().replace(".", "") or None,
            "encoder": encoder.token,
            "width": getattr(resolution, "Width", 0) or 0,
            "height": getattr(resolution, "Height", 0) or 0,
            "gop_frames": getattr(encoder.H264, "GovLength", None),
        }
        if rate is not None and rate.FrameRateLimit:
            values["fps"] = rate.FrameRateLimit / max(1, rate.EncodingInterval or 1)
            values["bitrate_kbps"] = rate.BitrateLimit
    return Profile(**values)


def _text(value: Any, name: str) -> str | None:
    said = getattr(value, name, None)
    return str(said)[:100] if said else None


def _reason(error: requests.exceptions.RequestException) -> str:
    if isinstance(error, requests.exceptions.Timeout):
        return f"nothing within {_TIMEOUT_S:.0f} s"
    return "no connection"
