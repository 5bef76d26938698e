"""Commands of the simulator. GStreamer is imported only by the one that serves."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from pathlib import Path

import click

from recorder.errors import ConfigurationError
from recorder.logging import configure_logging
from simulator.audio import AudioCodec
from simulator.control import command as send_command
from simulator.faults import USAGE, CommandError, Faults
from simulator.formats import parse_formats, usual_format
from simulator.media import VideoCodec, default_media_dir
from simulator.microphone import USAGE as MICROPHONE_USAGE
from simulator.microphone import SimulatedMicrophone

_CONTROL_PORT = 8553


@click.group()
def simulator() -> None:
    """A room without hardware: simulated RTSP cameras and microphones, with faults on command."""


def _parse_rooms(text: str, first_port: int) -> tuple[tuple[str, int], ...]:
    """`108,116` → consecutive ports from `first_port` (0: free ones); `108=9000` → that port."""
    rooms = []
    for place, item in enumerate(filter(None, (part.strip() for part in text.split(",")))):
        room, equals, port = item.partition("=")
        if equals and not (port.isdecimal() and int(port) < 65536):
            raise ConfigurationError(f"not a port: {port[:20]!r} of room {room}")
        rooms.append((room, int(port) if equals else first_port + place if first_port else 0))
    if not rooms:
        raise ConfigurationError("no room to simulate; say --rooms 108,116")
    return tuple(rooms)


@simulator.command()
@click.option(
    "--rooms", default="108", show_default=True, help="Room ids, comma-separated; ID=PORT sets a port."
)
@click.option(
    "--port",
    default=8554,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="RTSP port of the first room, the others follow; 0: free ports.",
)
@click.option(
    "--control-port",
    default=_CONTROL_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where commands are taken; 0: a free port.",
)
@click.option(
    "--audio", type=click.Choice([codec.value for codec in AudioCodec]), default="alaw", show_default=True
)
@click.option(
    "--audio-rate", default=0, help="Samples a second of aac, aac-latm and l16; 0: the codec's usual rate."
)
@click.option(
    "--video-codec",
    type=click.Choice([codec.value for codec in VideoCodec]),
    default="h264",
    show_default=True,
)
@click.option("--size", default="1280x720", show_default=True, help="Picture size.")
@click.option("--bitrate", default=1800, show_default=True, help="Picture, kbit/s.")
@click.option("--gop", default=25, show_default=True, help="Frames from keyframe to keyframe.")
@click.option("--b-frames", default=0, show_default=True, help="B-frames between references.")
@click.option("--open-gop", is_flag=True, help="B-frames may refer across a keyframe.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="ROOM:KEY=VALUE,…",
    help="What one room sends instead, by the names of these options, as in 116:video-codec=h265,audio=opus.",
)
@click.option("--loop", "loop_s", default=60, show_default=True, help="Length of the loop in seconds.")
@click.option(
    "--media-dir", type=click.Path(path_type=Path, file_okay=False), help="Where encoded loops are kept."
)
@click.option("--user", help="Ask for this user (digest)…")
@click.option("--password", envvar="PROTOKOL_SIMULATOR_PASSWORD", help="…and this password.")
@click.option("--unset-clock", is_flag=True, help="Cameras think that it is 1970.")
@click.option("--die-with-parent", is_flag=True, help="End when the starting process ends.")
def serve(
    rooms: str,
    port: int,
    control_port: int,
    audio: str,
    audio_rate: int,
    video_codec: str,
    size: str,
    bitrate: int,
    gop: int,
    b_frames: int,
    open_gop: bool,
    formats: tuple[str, ...],
    loop_s: int,
    media_dir: Path | None,
    user: str | None,
    password: str | None,
    unset_clock: bool,
    die_with_parent: bool,
) -> None:
    """Serve cameras until Ctrl-C; prints READY and their addresses."""
    from simulator.camera import Credentials  # noqa: PLC0415 -- needs GStreamer, which `command` does not
    from simulator.server import ServeOptions  # noqa: PLC0415 -- as above
    from simulator.server import serve as run  # noqa: PLC0415 -- as above

    configure_logging()
    if (user is None) != (password is None):
        raise ConfigurationError("--user and --password come together")
    usual = usual_format(
        {
            "audio": audio,
            "audio-rate": str(audio_rate),
            "video-codec": video_codec,
            "size": size,
            "bitrate": str(bitrate),
            "gop": str(gop),
            "b-frames": str(b_frames),
            "open-gop": str(int(open_gop)),
            "loop": str(loop_s),
        }
    )
    options = ServeOptions(
        rooms=_parse_rooms(rooms, port),
        media_dir=media_dir or default_media_dir(),
        usual=usual,
        formats=parse_formats(formats, usual),
        credentials=None if user is None or password is None else Credentials(user, password),
        control_port=control_port,
        start_faults=Faults(clock_offset_s=-time.time() if unset_clock else 0.0),
        die_with_parent=die_with_parent,
    )
    run(options, click.echo)


@simulator.command(
    help="Be a microphone until stdin ends. Prints READY, its name and the environment that shows it; each "
    f"line of stdin is a command: {MICROPHONE_USAGE}."
)
@click.option("--device", default="room-mic", show_default=True, help="Its name.")
@click.option("--ppm", default=0.0, show_default=True, help="How much too fast its clock is, in millionths.")
def microphone(device: str, ppm: float) -> None:
    with SimulatedMicrophone(device, ppm=ppm) as simulated:
        ready = {"device": simulated.device, "environment": dict(simulated.environment)}
        click.echo(f"READY {json.dumps(ready)}")
        for line in sys.stdin:
            try:
                simulated.command(line)
            except CommandError as error:
                click.echo(f"error: {error}")
            else:
                click.echo("ok")


@simulator.command()
@click.argument("stream_uri")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--user", default="viewer", show_default=True, help="Who may ask…")
@click.option("--password", envvar="PROTOKOL_SIMULATOR_PASSWORD", default="", help="…and the password.")
@click.option("--gop", default=25, show_default=True, help="Frames from keyframe to keyframe, as it tells.")
@click.option("--clock", "clock_offset_s", default=0.0, help="Its clock minus the true one, in seconds.")
@click.option("--discoverable", is_flag=True, help="Answer calls for cameras (not on loopback).")
def onvif(
    stream_uri: str,
    address: str,
    port: int,
    user: str,
    password: str,
    gop: int,
    clock_offset_s: float,
    *,
    discoverable: bool,
) -> None:
    """Be the ONVIF device of the camera at STREAM_URI, until Ctrl-C; prints READY and its address."""
    from simulator.onvif import OnvifDevice, OnvifFaults  # noqa: PLC0415 -- only here
    from simulator.onvif_discovery import DiscoveryResponder  # noqa: PLC0415 -- only here
    from simulator.onvif_messages import Stream  # noqa: PLC0415 -- only here

    device = OnvifDevice(
        stream_uri,
        user=user,
        password=password,
        host=address,
        port=port,
        streams=(Stream("main", 1280, 720, gop_frames=gop), Stream("sub", 640, 360, gop_frames=gop)),
        faults=OnvifFaults(clock_offset_s=clock_offset_s),
    )
    with device, contextlib.ExitStack() as stack:
        if discoverable:
            stack.enter_context(DiscoveryResponder(device.service_address, address))
        click.echo(f"READY {device.address}")
        threading.Event().wait()


# `clock -3600` is a number, not an option.
@simulator.command(
    context_settings={"ignore_unknown_options": True},
    help=f"Have a running camera obey: {USAGE}. ROOM may be `all`.",
)
@click.argument("room")
@click.argument("words", nargs=-1, required=True)
@click.option("--control-port", default=_CONTROL_PORT, show_default=True, help="As given to `serve`.")
def command(room: str, words: tuple[str, ...], control_port: int) -> None:
    click.echo(send_command(control_port, room, *words) or "ok")
