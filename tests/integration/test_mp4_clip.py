"""Clips of real footage, as independent players read them: FFmpeg's command line and libraries."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from archive.mp4.codec import AacLc
from archive.mp4.silence import silent_frame
from archive.mp4.virtual import Piece, build
from recorder.intervals import Interval
from tests.mp4_media import US, Packet, Recorded, Shape, content, record
from tests.mp4_synthetic import SILENCE, parse_clip

WALL = 1_795_000_000_000_000
# The second run begins between two ticks of everything, on another media timeline.
SECOND_RUN = WALL + 9_876_543

SILENCES = {silent_frame(AacLc(48_000, channels, 1024)) for channels in (1, 2)}
SHAPES = {
    "plain": Shape(),
    "b-frames": Shape(bframes=2),
    "hevc": Shape(codec="libx265", bframes=2),
    "camera sound": Shape(rate=16_000),
    "stereo": Shape(layout="stereo"),
    "sound only": Shape(video=False),
    "picture only": Shape(audio=False),
    "slow pictures": Shape(fps=5, gop=5),
}


def shaped() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def complaints(path: Path) -> str:
    """What FFmpeg says about a file while it decodes all of it: nothing, if it is sound."""
    # In the file's own time base: by a guessed frame rate, a freeze would make times collide.
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(path),
        "-enc_time_base",
        "-1",
        "-f",
        "null",
        "-",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return run.stdout + run.stderr


def probe(path: Path) -> dict[str, dict[str, str]]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    output = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    return {stream["codec_type"]: stream for stream in json.loads(output)["streams"]}


def stored(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def two_runs(shape: Shape) -> tuple[list[Piece], dict[str, bytes]]:
    """The same minute of life twice, 3.9 s lost between."""
    first, second = record(shape), record(later(shape))
    pieces = first.pieces(WALL, "one") + second.pieces(SECOND_RUN, "two")
    return pieces, first.objects("one") | second.objects("two")


def later(shape: Shape) -> Shape:
    return Shape(**{**shape.__dict__, "media_start_s": 77_777})


def packets_in(clip: bytes) -> dict[str, list[bytes]]:
    return {
        track.kind: [hashlib.sha256(s.data).digest() for s in track.samples if s.data not in SILENCES]
        for track in parse_clip(clip)
    }


@shaped()
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "staff"])
def test_ffmpeg_decodes_everything_without_a_word(shape: Shape, exact: bool, tmp_path: Path) -> None:
    pieces, objects = two_runs(shape)
    clip = build(pieces, Interval(WALL + 700_000, SECOND_RUN + 4_700_000), exact=exact)
    path = stored(tmp_path / "clip.mp4", content(clip, objects))
    assert path.stat().st_size == clip.size
    assert complaints(path) == ""
    streams = probe(path)
    for kind, stream in streams.items():
        assert float(stream["start_time"]) == 0
        seconds = (clip.end_us - clip.start_us) / US
        assert float(stream["duration"]) == pytest.approx(seconds, abs=0.1 if kind == "audio" else 0.25)
    assert set(streams) == {k for k, there in (("video", shape.video), ("audio", shape.audio)) if there}
    with av.open(str(path)) as container:
        counts = {
            stream.type: sum(1 for _ in container.decode(stream)) if container.seek(0) is None else 0
            for stream in container.streams
        }
    for kind, stream in streams.items():
        assert counts[kind] == int(stream["nb_frames"])


@shaped()
def test_a_whole_run_comes_out_packet_for_packet(shape: Shape) -> None:
    """Segments of one run join without a seam: every packet once, in order, at its own distance."""
    recorded = record(shape)
    pieces = recorded.pieces(WALL)
    clip = build(pieces, Interval(WALL - US, WALL + 60 * US), exact=False)
    data = content(clip, recorded.objects())
    first = recorded.first(0)
    for track in parse_clip(data):
        real = [sample for sample in track.samples if sample.data not in SILENCES]
        expected = in_clip(recorded, track.kind, first)
        assert [hashlib.sha256(s.data).digest() for s in real] == [p.digest for p in expected]
        shift = expected[1].start - real[1].present_s
        tick = Fraction(1, track.timescale)
        assert all(
            abs(packet.start - sample.present_s - shift) <= tick
            for packet, sample in list(zip(expected, real, strict=True))[1:]
        )


def in_clip(recorded: Recorded, kind: str, first: Fraction) -> list[Packet]:
    """Packets from the first picture on; of an open first group, without what precedes its keyframe."""
    return [p for part in recorded.packets for p in part if p.kind == kind and p.start >= first]


def flashes_and_beeps(data: bytes) -> tuple[list[float], list[float], list[float]]:
    """When pictures are white; when tones begin by stated times; when by counting samples, as browsers do."""
    flashes: list[float] = []
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            luma = frame.to_ndarray(format="gray")[60:]
            if luma.mean() > 150:
                flashes.append(float(frame.time))
    with av.open(io.BytesIO(data)) as container:
        frames = [(float(f.time), f.sample_rate, f.to_ndarray()[0]) for f in container.decode(audio=0)]
    rate = frames[0][1]
    wave = np.concatenate([samples for *_, samples in frames])
    stated = np.concatenate([start + np.arange(len(samples)) / rate for start, _, samples in frames])
    loud = np.flatnonzero(np.abs(wave) > 0.2)
    begins = loud[np.diff(loud, prepend=-rate) > rate // 2]
    return flashes, stated[begins].tolist(), (begins / rate).tolist()


@pytest.mark.parametrize("name", ["plain", "b-frames", "hevc", "camera sound", "stereo", "slow pictures"])
@pytest.mark.parametrize("start_us", [0, 313_131, 2_000_001])
def test_sound_and_picture_stay_together_before_and_after_a_gap(name: str, start_us: int) -> None:
    pieces, objects = two_runs(SHAPES[name])
    clip = build(pieces, Interval(WALL + start_us, SECOND_RUN + 5_900_000), exact=True)
    flashes, stated, counted = flashes_and_beeps(content(clip, objects))
    # The clip begins with a flash, shown from the very beginning, whose tone may be cut.
    inner = [flash for flash in flashes if flash > 0.5]
    assert len(inner) >= 6
    for beeps in (stated, counted):
        for flash in inner:
            nearest = min(beeps, key=lambda beep: abs(beep - flash))
            if flash == first_of_second_run(inner) and abs(nearest - flash) > 0.5:
                continue  # its tone began before the first whole packet of that run
            assert abs(nearest - flash) <= 0.002, (flash, beeps)
    # And both stand on the wall clock, but for half a packet.
    begins = clip.start_us - (0 if clip.runs[0].at_us == 0 else clip.runs[0].at_us)
    walls = [WALL + n * US for n in range(6)] + [SECOND_RUN + n * US for n in range(6)]
    for flash in inner:
        assert min(abs(begins / US + flash - wall / US) for wall in walls) < 0.035


def first_of_second_run(flashes: list[float]) -> float:
    gaps = np.diff(flashes)
    return flashes[int(np.argmax(gaps)) + 1]


def loudest(data: bytes) -> float:
    """Of all sound that is coded in the clip; silence behind it brings out what its last packet holds
    for the next one.
    """
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        frames = [frame for packet in [*packets, av.Packet(SILENCE)] for frame in stream.decode(packet)]
    assert len(frames) == len(packets) + 1
    return max(float(np.abs(frame.to_ndarray()).max()) for frame in frames)


@pytest.mark.parametrize("rate", [48_000, 16_000])
@pytest.mark.parametrize("hush", [(2.0, 5.0), (2.0, 4.802), (1.993, 4.444)])
def test_an_exact_clip_holds_no_sound_from_outside(hush: tuple[float, float], rate: int) -> None:
    """It is loud before and after the approved interval, and silent inside: so must the clip be.

    The same cut by nominal packet times is heard to leak, which shows that the test can fail.
    """
    recorded = record(Shape(hush=hush, rate=rate))
    approved = Interval(WALL + round(hush[0] * US), WALL + round(hush[1] * US))
    exact, nominal = (build(recorded.pieces(WALL), approved, exact=each) for each in (True, False))
    assert loudest(content(exact, recorded.objects())) < 1e-4
    assert loudest(content(nominal, recorded.objects())) > 1e-3


@shaped()
def test_an_exact_clip_holds_no_other_bytes(shape: Shape) -> None:
    pieces, objects = two_runs(shape)
    approved = Interval(WALL + 1_234_567, SECOND_RUN + 4_321_000)
    clip = build(pieces, approved, exact=True)
    data = content(clip, objects)
    samples = sum(len(sample.data) for track in parse_clip(data) for sample in track.samples)
    assert clip.size - len(clip.head) == samples
    allowed = {
        packet.digest
        for recorded, wall in ((record(shape), WALL), (record(later(shape)), SECOND_RUN))
        for packet in flat(recorded)
        if approved_wholly(packet, recorded.first(0), wall, approved)
    }
    for digests in packets_in(data).values():
        assert digests
        assert set(digests) <= allowed


def flat(recorded: Recorded) -> list[Packet]:
    return [packet for part in recorded.packets for packet in part]


def approved_wholly(packet: Packet, first: Fraction, wall: int, approved: Interval) -> bool:
    margin = packet.duration if packet.kind == "audio" else 0
    start = wall + (packet.start - first - margin) * US
    end = wall + (packet.start - first + packet.duration + margin) * US
    # Segments state their start in whole microseconds.
    return start >= approved.start_us - 1 and end <= approved.end_us + 1


def test_a_clip_that_begins_inside_a_segment_begins_on_a_keyframe(tmp_path: Path) -> None:
    recorded = record(SHAPES["b-frames"])
    clip = build(recorded.pieces(WALL), Interval(WALL + 2_400_000, WALL + 4_400_000), exact=True)
    assert clip.start_us == WALL + 3_000_000
    path = stored(tmp_path / "clip.mp4", content(clip, recorded.objects()))
    with av.open(str(path)) as container:
        first = next(container.decode(video=0))
    assert first.key_frame
    assert first.pts == 0


def test_what_a_lost_segment_leaves_is_a_gap_inside_its_run(tmp_path: Path) -> None:
    recorded = record(SHAPES["plain"])
    pieces = recorded.pieces(WALL)
    assert len(pieces) == 3
    clip = build([pieces[0], pieces[2]], Interval(WALL, WALL + 6 * US), exact=True)
    assert [(gap.track, round((gap.end_us - gap.start_us) / US)) for gap in clip.gaps] == [
        ("video", 2),
        ("audio", 2),
    ]
    assert [run.run for run in clip.runs] == ["run-1", "run-1"]
    assert complaints(stored(tmp_path / "clip.mp4", content(clip, recorded.objects()))) == ""


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_made_silence_is_silent(layout: str) -> None:
    """Decoded on its own, and as FFmpeg's own encoder would have meant it."""
    shape = Shape(layout=layout)
    recorded = record(shape)
    pieces = recorded.pieces(WALL)
    hours = build(
        [pieces[0], *recorded.pieces(WALL + 20 * US, "two")[2:]], Interval(WALL, WALL + 26 * US), exact=True
    )
    data = content(hours, recorded.objects() | recorded.objects("two"))
    with av.open(io.BytesIO(data)) as container:
        frames = [(float(f.time), f.to_ndarray(), f.layout.name) for f in container.decode(audio=0)]
    inside = [samples for time, samples, _ in frames if 3 < time < 22]
    assert len(inside) > 800
    assert max(float(np.abs(samples).max()) for samples in inside) == 0
    assert {name for *_, name in frames} == {layout}
