"""One simulated camera: an RTSP server of its own at a port of its own, and its faults.

A port for each camera, because cameras are different devices: one that is switched off refuses
connections while the others serve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from recorder.errors import ConfigurationError, ProtokolError
from simulator import flaws, wire
from simulator.audio import AudioCodec, AudioLoop, AudioSpec, make_audio
from simulator.faults import AUDIO, VIDEO, Faults, describe
from simulator.feeder import Feed, Feeder, video_caps
from simulator.flaws import Hear
from simulator.gst import GLib, Gst, GstRtspServer
from simulator.media import VideoCodec, VideoLoop, VideoSpec, load_video

LOOPBACK = "127.0.0.1"
_ROOM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = 2  # GST_RTSP_AUTH_DIGEST, which the bindings do not name
# What a client that never reads may leave queued in the server, per track.
_QUEUE_BYTES = 8 << 20
_SESSION_CLEANUP_S = 2

_log = structlog.get_logger()


class PortInUseError(ProtokolError):
    """A camera cannot listen: another program has its port."""


@dataclass(frozen=True)
class Credentials:
    user: str
    password: str


class Equipment:
    """What all cameras of a process share: the feeder, the threads of RTSP, the loops in memory."""

    def __init__(self, feeder: Feeder, threads: Any, media_dir: Path) -> None:
        self.feeder = feeder
        self.threads = threads  # GstRtspServer.RTSPThreadPool
        self._media_dir = media_dir
        self._loops: dict[VideoSpec, VideoLoop] = {}
        self._sounds: dict[tuple[AudioSpec, Hear], AudioLoop | None] = {}

    def loop(self, spec: VideoSpec) -> VideoLoop:
        """From memory, from the cache or encoded now. Raises MediaError."""
        if spec not in self._loops:
            self._loops[spec] = load_video(spec, self._media_dir)
        return self._loops[spec]

    def sound(self, spec: AudioSpec, hear: Hear) -> AudioLoop | None:
        """From memory or made now; None for a camera without sound."""
        if (spec, hear) not in self._sounds:
            self._sounds[spec, hear] = make_audio(spec, hear)
        return self._sounds[spec, hear]


class Camera:
    """One room's camera. Methods belong to the thread that runs GLib's main loop; `faults` may be read
    by anyone, and `encode_for` is made for another thread.
    """

    def __init__(
        self,
        room: str,
        port: int,
        video: VideoLoop,
        audio: AudioSpec,
        equipment: Equipment,
        credentials: Credentials | None = None,
    ) -> None:
        """`port` 0: any free one, known after `switch_on`."""
        if not _ROOM_ID.fullmatch(room):
            raise ConfigurationError(f"not a room id for a URL: {room!r}; use letters, digits and '-'")
        self.room = room
        self.port = port
        self.faults = Faults(killed=True)
        self._video = self._usual_video = video
        self._audio_spec = audio
        self._audio = equipment.sound(audio, Hear.WELL)
        self._equipment = equipment
        self._listener = 0
        self._payloaders: dict[Feed, list[Any]] = {}
        self._server = _make_server(room, self._make_factory(credentials), equipment.threads, credentials)
        GLib.timeout_add_seconds(_SESSION_CLEANUP_S, self._clean_sessions)

    @property
    def url(self) -> str:
        """Without user and password, as a browser of the network would show it."""
        return f"rtsp://{LOOPBACK}:{self.port}/{self.room}"

    def encode_for(self, faults: Faults) -> VideoLoop:
        """The loop that the camera shows in that state; may have to encode it, so not on the main loop."""
        width, height = faults.size or (self._usual_video.spec.width, self._usual_video.spec.height)
        usual = self._usual_video.spec
        loop_s = flaws.loop_s(faults.look, usual.loop_s, usual.fps, usual.gop_frames)
        spec = replace(usual, width=width, height=height, look=faults.look, loop_s=loop_s)
        return self._equipment.loop(spec)

    def enact(self, faults: Faults, video: VideoLoop) -> None:
        """Be in that state, showing that loop. Raises PortInUseError when it cannot listen again."""
        if faults.killed and self._listener:
            self._switch_off()
        elif not faults.killed and not self._listener:
            self._switch_on()
        starts_losing = faults.loss and not self.faults.loss
        self.faults, self._video = faults, video
        self._audio = self._equipment.sound(self._audio_spec, faults.hear)
        if starts_losing:
            for payloaders in list(self._payloaders.values()):
                self._lose(payloaders)
        _log.info("camera_state", room=self.room, state=describe(faults))

    def _switch_on(self) -> None:
        self._server.set_service(str(self.port))
        self._listener = self._server.attach(None)
        if not self._listener:
            raise PortInUseError(f"camera {self.room}: port {self.port} is in use; choose another --port")
        self.port = self._server.get_bound_port()

    def _switch_off(self) -> None:
        GLib.Source.remove(self._listener)
        self._listener = 0
        self._server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE)

    def _clean_sessions(self) -> bool:
        self._server.get_session_pool().cleanup()
        return True

    def _make_factory(self, credentials: Credentials | None) -> Any:
        factory = GstRtspServer.RTSPMediaFactory.new()
        factory.set_launch(_pipeline(self._usual_video.spec.codec, self._audio))
        # A pipeline for each client. A shared one is answered with 503 to who comes while the last client's
        # is being taken down, and a test that reconnects at once would see a fault that no camera has.
        factory.set_shared(False)
        factory.connect("media-configure", self._on_media)
        if credentials is not None:
            permissions = GstRtspServer.RTSPPermissions.new()
            for permission in ("media.factory.access", "media.factory.construct"):
                permissions.add_permission_for_role("viewer", permission, True)
            factory.set_permissions(permissions)
        return factory

    def _on_media(self, _factory: Any, media: Any) -> None:
        """A first client has come; called in one of the server's threads, as are the two below."""
        element = media.get_element()
        element.get_by_name(VIDEO).set_caps(Gst.Caps.from_string(video_caps(self._video)))
        if self._audio is not None:
            element.get_by_name(AUDIO).set_caps(Gst.Caps.from_string(_audio_caps(self._audio)))
        feed = Feed(element, lambda: self.faults, lambda: self._video, lambda: self._audio)
        payloaders = [element.get_by_name(f"pay{n}") for n in range(1 if self._audio is None else 2)]

        # They take the media as they get it: one that held it would keep it, and its sockets, for ever.
        def on_prepared(prepared: Any) -> None:
            wire.set_clock(prepared, lambda: self.faults.clock_offset_s)
            self._payloaders[feed] = payloaders
            if self.faults.loss:
                self._lose(payloaders)

        def on_unprepared(_media: Any) -> None:
            self._equipment.feeder.remove(feed)
            self._payloaders.pop(feed, None)

        media.connect("prepared", on_prepared)
        media.connect("unprepared", on_unprepared)
        self._equipment.feeder.add(feed)

    def _lose(self, payloaders: list[Any]) -> None:
        for payloader in payloaders:
            wire.lose_packets(payloader, lambda: self.faults.loss)


def _make_server(room: str, factory: Any, threads: Any, credentials: Credentials | None) -> Any:
    server = GstRtspServer.RTSPServer.new()
    server.set_address(LOOPBACK)
    server.set_thread_pool(threads)
    server.get_mount_points().add_factory(f"/{room}", factory)
    if credentials is not None:
        authority = GstRtspServer.RTSPAuth.new()
        authority.set_supported_methods(_DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        authority.add_digest(credentials.user, credentials.password, token)
        server.set_auth(authority)
    return server


_PICTURE_PAYLOADERS = {VideoCodec.H264: "rtph264pay", VideoCodec.H265: "rtph265pay"}
_SOUND_PAYLOADERS = {
    AudioCodec.ALAW: "rtppcmapay pt=8",
    AudioCodec.MULAW: "rtppcmupay pt=0",
    AudioCodec.AAC: "rtpmp4gpay pt=97",
    AudioCodec.LATM: "rtpmp4apay pt=97",
    AudioCodec.OPUS: "rtpopuspay pt=97",
    AudioCodec.L16: "rtpL16pay pt=97",
    AudioCodec.G726: "rtpg726pay pt=97",
    AudioCodec.SIREN: "rtpsirenpay pt=97",
}


def _pipeline(video: VideoCodec, audio: AudioLoop | None) -> str:
    source = f"is-live=true format=time max-bytes={_QUEUE_BYTES} leaky-type=downstream"
    payloader = f"{_PICTURE_PAYLOADERS[video]} name=pay0 pt=96 config-interval=-1 aggregate-mode=zero-latency"
    tracks = [f"appsrc name={VIDEO} {source} ! {payloader}"]
    if audio is not None:
        tracks.append(f"appsrc name={AUDIO} {source} ! {_SOUND_PAYLOADERS[audio.codec]} name=pay1")
    return f"( {'  '.join(tracks)} )"


def _audio_caps(audio: AudioLoop) -> str:
    """As GStreamer names the codec; `codec_data` is AAC's alone."""
    shape = f"rate={audio.rate},channels=1"
    kinds = {
        AudioCodec.ALAW: "audio/x-alaw",
        AudioCodec.MULAW: "audio/x-mulaw",
        AudioCodec.AAC: "audio/mpeg,mpegversion=4,stream-format=raw",
        AudioCodec.LATM: "audio/mpeg,mpegversion=4,stream-format=raw",
        AudioCodec.OPUS: "audio/x-opus,channel-mapping-family=0",
        AudioCodec.L16: "audio/x-raw,format=S16BE,layout=interleaved",
        AudioCodec.G726: "audio/x-adpcm,layout=g726,bitrate=32000",
        AudioCodec.SIREN: "audio/x-siren,dct-length=320",
    }
    config = f",codec_data=(buffer){audio.codec_data.hex()}" if audio.codec_data else ""
    return f"{kinds[audio.codec]},{shape}{config}"
