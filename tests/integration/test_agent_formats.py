"""Whatever a camera sends: coding of picture and sound, the order of pictures, the way over the network.

All cameras are recorded at once, by an agent each, and asked for a password.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from archive.mp4.reader import read_index
from archive.mp4.virtual import Piece, build
from recorder.capture.camera import CameraAddress
from recorder.capture.probe import probe
from recorder.intervals import Interval
from recorder.manifest import Track
from simulator.control import Simulator
from simulator.measure import measure_file
from tests.integration.agent_rig import running_agent
from tests.integration.ingest_double import IngestDouble, configuration
from tests.mp4_media import content

LOOP_S, FPS = 8, 25
# The picture that ends a recording may have come before those shown ahead of it.
REORDERED = 3


@dataclass(frozen=True)
class Format:
    """`rate` of the sound that is stored, 0 for none. `leading`: pictures behind a segment's first keyframe
    that are shown before it and refer across it: who decodes that segment alone cannot show them.
    """

    words: str
    transport: str
    video: str = "avc1"
    rate: int = 48_000
    silent_because: str = ""
    leading: int = 0


FORMATS = {
    "opus": Format("video-codec=h265,audio=opus", "tcp", "hev1"),
    "open-gop": Format(
        "video-codec=h265,gop=24,open-gop=1,b-frames=2,audio=aac,audio-rate=48000", "udp", "hev1", leading=2
    ),
    "latm": Format("video-codec=h265,b-frames=2,audio=aac-latm", "tcp", "hev1", 16_000),
    "mulaw": Format("b-frames=2,audio=mulaw", "udp"),
    "aac44": Format("audio=aac,audio-rate=44100", "tcp", rate=44_100),
    "aac8": Format("audio=aac,audio-rate=8000", "udp", rate=8000),
    "l16": Format("audio=l16", "udp"),
    "g726": Format("audio=g726", "tcp"),
    "siren": Format("audio=siren", "tcp", rate=0, silent_because="unknown codec; set it to AAC or G.711"),
    "none": Format("audio=none", "udp", rate=0, silent_because="the camera offers no sound"),
}


@pytest.fixture(scope="module")
def cameras():
    words = {room: each.words for room, each in FORMATS.items()}
    shape = {"size": "640x360", "bitrate_kbps": 600, "loop_s": LOOP_S}
    with Simulator(list(FORMATS), formats=words, user="viewer", password="secret", **shape) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    directory = tmp_path_factory.mktemp("secrets")
    (directory / "cam").write_text("viewer:secret\n")
    return directory


def ingest_of(cameras, room, directory) -> IngestDouble:
    url = cameras.url(room).replace("viewer:secret@", "")
    camera = {"name": "main", "url": url, "credentials": "cam", "transport": FORMATS[room].transport}
    directory.mkdir()
    return IngestDouble(directory, configuration(url, cameras=[camera]))


def in_order(ingest):
    return sorted(ingest.segments, key=lambda received: received.manifest.start_us)


@pytest.fixture(scope="module")
def recorded(cameras, secrets, tmp_path_factory):
    """For each format: its server, with three segments or more from after the first sender report."""
    directory = tmp_path_factory.mktemp("formats")
    with ExitStack() as servers:
        ingests = {
            room: servers.enter_context(ingest_of(cameras, room, directory / room)) for room in FORMATS
        }
        with ExitStack() as agents:
            for room, ingest in ingests.items():
                agents.enter_context(running_agent(ingest, directory / room / "spool", secrets=secrets))
            for room, ingest in ingests.items():
                ingest.wait_for(
                    lambda ingest=ingest: len(reported(ingest)) >= 3, 90, what=f"footage of {room}"
                )
        yield ingests


def reported(ingest):
    """What the last run recorded after the camera's first sender report."""
    ordered = in_order(ingest)
    run = ordered[-1].manifest.run if ordered else ""
    return [
        received
        for received in ordered
        if received.manifest.clock.source == "sender_report" and received.manifest.run == run
    ]


def assert_contiguous(numbers):
    assert None not in numbers
    for before, after in itertools.pairwise(numbers):
        assert (after - before) % (LOOP_S * FPS) == 1, (before, after)


def clip_of(segments, path):
    """All of those segments, as the archive serves them."""
    pieces = []
    for received in segments:
        body, manifest = received.body, received.manifest
        index = read_index(lambda at, length, body=body: body[at : at + length], len(body))
        name = str(manifest.sequence)
        pieces.append(Piece(name, index, manifest.start_us, manifest.end_us, manifest.run))
    clip = build(pieces, Interval(pieces[0].start_us, pieces[-1].end_us), exact=False)
    objects = {str(received.manifest.sequence): received.body for received in segments}
    path.write_bytes(content(clip, objects))
    return clip


@pytest.mark.parametrize("room", FORMATS)
def test_all_is_accounted_for_and_stored_as_sent(recorded, room):
    ingest, wanted = recorded[room], FORMATS[room]
    ingest.check_chain()
    ingest.check_covered(Track.VIDEO)
    ingest.check_covered(Track.AUDIO)
    assert ingest.refused == []
    silences = [gap for gap in ingest.gaps("microphone_lost") if gap.tracks == ["audio"]]
    for received in ingest.segments:
        tracks = {statement.track: statement for statement in received.manifest.tracks}
        assert tracks["video"].codec == wanted.video
        assert tracks.keys() == ({"video", "audio"} if wanted.rate else {"video"})
        if wanted.rate:
            assert (tracks["audio"].codec, tracks["audio"].sample_rate) == ("mp4a", wanted.rate)
    if wanted.rate:
        # But for a frame or two at a run's beginning, whose keyframe is known later than its sound.
        assert all(gap.end_us - gap.start_us < 500_000 for gap in silences)
    else:
        assert all(wanted.silent_because in gap.detail for gap in silences)
        assert silences


@pytest.mark.parametrize("room", FORMATS)
def test_every_segment_decodes_and_no_picture_is_missing(recorded, room):
    ingest, wanted = recorded[room], FORMATS[room]
    last = None
    for path in ingest.files():
        seen = measure_file(path)
        assert seen.decode_errors == 0
        numbers = list(seen.frame_numbers)
        if last is not None:
            assert (numbers[0] - last) % (LOOP_S * FPS) <= 1 + wanted.leading
        last = numbers[-1]
        final = received_last(ingest, path)
        assert_contiguous(numbers[:-REORDERED] if final else numbers)


def received_last(ingest, path) -> bool:
    return path.stem == f"{in_order(ingest)[-1].manifest.sequence:09d}"


@pytest.mark.parametrize("room", FORMATS)
def test_the_clip_is_right_to_the_frame_and_in_sync(recorded, room, tmp_path):
    segments = reported(recorded[room])
    clip = clip_of(segments, tmp_path / "clip.mp4")
    assert clip.coding == ("h265" if FORMATS[room].video == "hev1" else "h264")
    seen = measure_file(tmp_path / "clip.mp4")
    assert seen.decode_errors == 0
    assert_contiguous(seen.frame_numbers[:-REORDERED])
    if FORMATS[room].rate:
        assert len(seen.av_offsets_ms) >= 3
        assert max(abs(offset) for offset in seen.av_offsets_ms) <= 20, seen.av_offsets_ms


def test_probe_tells_the_format(cameras):
    seen = probe(CameraAddress(cameras.url("open-gop"), None, "udp"), 3.0)
    told = {
        "transport": "udp",
        "video": "hevc",
        "width": 640,
        "fps": 25.0,
        "gop_frames": 24,
        "b_frames": True,
    }
    told |= {"audio": "aac", "audio_rate": 48_000, "audio_channels": 1, "no_sound": None}
    assert {key: seen[key] for key in told} == told


def test_another_resolution_is_another_run_and_lost_packets_are_none(cameras, secrets, tmp_path):
    room = "latm"
    with ingest_of(cameras, room, tmp_path / room) as ingest:
        with running_agent(ingest, tmp_path / "spool", secrets=secrets):
            ingest.wait_for(lambda: len(ingest.segments) >= 2, 60, what="footage")
            cameras.command(room, "loss 0.05")
            lossy = len(ingest.segments) + 2
            ingest.wait_for(lambda: len(ingest.segments) >= lossy, 60, what="footage of a bad line")
            cameras.command(room, "mend")
            mended = len(ingest.segments) + 2
            ingest.wait_for(lambda: len(ingest.segments) >= mended, 60, what="footage of a good line")
            cameras.command(room, "resolution 320x180")
            ingest.wait_for(lambda: width_of(in_order(ingest)[-1]) == 320, 60, what="small pictures")
        cameras.command(room, "mend")
        ingest.check_chain()
        ingest.check_covered(Track.VIDEO)
        paths, ordered = list(ingest.files()), in_order(ingest)
        large = {received.manifest.run for received in ordered if width_of(received) == 640}
        small = {received.manifest.run for received in ordered if width_of(received) == 320}
        assert len(small) == 1
        assert not large & small
        # What came undamaged is undamaged: the first segment and, after it was mended, the small pictures.
        for path in (paths[0], paths[-1]):
            seen = measure_file(path)
            assert seen.decode_errors == 0
            assert_contiguous(seen.frame_numbers[:-REORDERED])


def width_of(received) -> int:
    return received.manifest.tracks[0].width
