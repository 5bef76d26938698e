"""The clip engine case by case, on made-up segments; `test_mp4_clip_properties.py` has what always holds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from archive.mp4.parts import Coding, Stretch, divide
from archive.mp4.virtual import (
    ClipTooLongError,
    CodecChangeError,
    Gap,
    NothingRecordedError,
    Piece,
    Stored,
    VirtualMp4,
    build,
)
from recorder.intervals import Interval
from tests.mp4_synthetic import (
    SILENCE,
    VIDEO_TICKS,
    Footage,
    MadeSegment,
    audio_stsd,
    make_segment,
    minute_index,
    parse_clip,
    samples_of,
    video_stsd,
)

WALL = 1_795_000_000_000_000


def plain(
    name: str = "a",
    run: str = "r",
    start_us: int = WALL,
    media_s: float = 50.0,
    seconds: float = 4.2,
    **more: object,
) -> MadeSegment:
    """10 pictures/s in groups of seven, 48 kHz sound from the same instant."""
    base = round(media_s * VIDEO_TICKS)
    video = [(base + n * 9000, 0, 9000, n % 7 == 0) for n in range(round(seconds * 10))]
    audio = [(round(media_s * 48_000) + n * 1024, 1024) for n in range(round(seconds * 48_000 / 1024))]
    return make_segment(name, run, start_us, video, audio, **more)


def test_ends_snap_inward() -> None:
    clip = build([plain().piece], Interval(WALL + 100_000, WALL + 3_950_000), exact=False)
    # Keyframes each 0.7 s; pictures each 0.1 s; the last sound packet ends at 3.946667 s.
    assert clip.start_us == WALL + 700_000
    assert WALL + 3_900_000 <= clip.end_us <= WALL + 3_950_000
    assert [(run.run, run.start_us) for run in clip.runs] == [("r", WALL + 700_000)]
    assert clip.gaps == ()


def test_exact_files_hold_the_samples_alone() -> None:
    footage = Footage([plain()], 48_000)
    interval = Interval(WALL, WALL + 4_000_000)
    exact, loose = (build(footage.pieces, interval, exact=each) for each in (True, False))
    assert b"moof" in footage.content(loose)
    content = footage.content(exact)
    assert b"moof" not in content
    media = content[len(exact.head) :]
    tracks = parse_clip(content)
    assert len(media) == sum(len(sample.data) for track in tracks for sample in track.samples)
    assert len(list(loose.slices(0, loose.size))) < len(list(exact.slices(0, exact.size)))


def test_a_gap_freezes_the_picture_and_silences_the_sound() -> None:
    footage = Footage([plain(), plain("b", "r2", WALL + 10_000_000, media_s=7.0)], 48_000)
    clip = build(footage.pieces, Interval(WALL, WALL + 14_200_000), exact=True)
    assert [gap.track for gap in clip.gaps] == ["video", "audio"]
    picture, sound = clip.gaps
    assert picture == Gap("video", WALL + 4_200_000, WALL + 10_000_000)
    assert abs(sound.start_us - WALL - 4_200_000) < 25_000
    assert abs(sound.end_us - WALL - 10_000_000) < 25_000
    assert [run.at_us for run in clip.runs] == pytest.approx([21_333, 10_000_000], abs=25_000)
    video = next(track for track in parse_clip(footage.content(clip)) if track.kind == "video")
    frozen = max(video.samples, key=lambda sample: sample.duration_s)
    assert frozen.duration_s == pytest.approx(5.9, abs=0.02)
    assert [sample.sync for sample in video.samples[42:44]] == [True, False]


def test_sound_without_picture_at_first_is_not_lost() -> None:
    sound_only = make_segment("a", "r", WALL, [], [(n * 1024, 1024) for n in range(900)])
    later = plain("b", "r2", WALL + 20_000_000)
    clip = build([sound_only.piece, later.piece], Interval(WALL, WALL + 24_000_000), exact=False)
    assert clip.start_us == WALL
    assert clip.gaps[0] == Gap("video", WALL, WALL + 20_000_000)


def test_an_overlap_of_runs_is_shown_once_and_the_later_run_wins() -> None:
    footage = Footage([plain(), plain("b", "r2", WALL + 3_000_000)], 48_000)
    clip = build(footage.pieces, Interval(WALL, WALL + 7_200_000), exact=False)
    held = samples_of(footage, clip)
    assert all(
        segment.wall_us(made.start_s) < WALL + 3_000_000 for segment, made, _ in held if made.piece == "a"
    )
    assert sum(made.kind == "video" for _, made, _ in held) == 30 + 42


def test_sound_of_unknown_silence_is_stretched_and_told() -> None:
    he_aac = audio_stsd(object_type=5)
    first = plain(sound_stsd=he_aac)
    second = plain("b", "r2", WALL + 10_000_000, sound_stsd=he_aac)
    footage = Footage([first, second], 48_000)
    clip = build(footage.pieces, Interval(WALL, WALL + 14_000_000), exact=False)
    assert clip.stretched_sound
    sound = next(track for track in parse_clip(footage.content(clip)) if track.kind == "audio")
    assert SILENCE not in {sample.data for sample in sound.samples}
    second_begins = next(s for s in sound.samples if s.data.startswith(b"<b|"))
    assert second_begins.present_s == pytest.approx(10.0, abs=0.001)


def test_nothing_recorded() -> None:
    for interval in (
        Interval(WALL - 1000, WALL),
        Interval(WALL + 10_000_000, WALL + 20_000_000),
        Interval(WALL + 710_000, WALL + 715_000),
    ):
        with pytest.raises(NothingRecordedError):
            build([plain().piece], interval, exact=True)
    with pytest.raises(NothingRecordedError):
        build([], Interval(WALL, WALL + 1), exact=True)


def parts_of(pieces: list[Piece], interval: Interval) -> tuple[Interval, ...]:
    stretches = [Stretch(piece.start_us, piece.end_us, Coding.of(piece.index)) for piece in pieces]
    return divide(stretches, interval)


def test_too_long_a_clip_divides_into_parts_that_hold_every_picture() -> None:
    asked = Interval(WALL, WALL + 7 * 3_600_000_000)
    pieces = hours(8)
    with pytest.raises(ClipTooLongError, match=r"7\.0 h"):
        build(pieces, asked, exact=False)
    parts = parts_of(pieces, asked)
    assert len(parts) == 3
    assert (parts[0].start_us, parts[-1].end_us) == (asked.start_us, asked.end_us)
    clips = [build(pieces, part, exact=False) for part in parts]
    assert [clip.start_us for clip in clips] == [part.start_us for part in parts]
    assert all(before.end_us == after.start_us for before, after in pairwise(parts))
    # The picture's table is the first of its kind: version and flags, one size for all, how many.
    tables = [clip.head[clip.head.index(b"stsz") :] for clip in clips]
    assert sum(int.from_bytes(table[12:16], "big") for table in tables) == 7 * 3600 * 25


def test_parts_begin_and_end_where_something_is_recorded() -> None:
    """A morning and an afternoon: nobody needs a clip of the lunch between them."""
    hour = 3_600_000_000
    morning, afternoon = hours(2), hours(5)[180:]
    pieces = morning + afternoon
    parts = parts_of(pieces, Interval(WALL - hour, WALL + 9 * hour))
    assert parts == (Interval(WALL, WALL + 2 * hour), Interval(WALL + 3 * hour, WALL + 5 * hour))


@pytest.mark.parametrize(
    "changed",
    [
        plain("b", "r2", WALL + 5_000_000, stsd=video_stsd(b"\x01\x64\x00\x28")),
        plain("b", "r2", WALL + 5_000_000, sound_stsd=audio_stsd(16_000)),
    ],
)
def test_a_change_of_coding_names_its_instant(changed: MadeSegment) -> None:
    with pytest.raises(CodecChangeError) as caught:
        build([plain().piece, changed.piece], Interval(WALL, WALL + 9_000_000), exact=False)
    assert caught.value.at_us == WALL + 5_000_000
    pieces = [plain().piece, changed.piece]
    parts = parts_of(pieces, Interval(WALL, WALL + 9_000_000))
    assert [part.start_us for part in parts] == [WALL, WALL + 5_000_000]
    for part in parts:
        build(pieces, part, exact=False)


def test_footage_that_has_given_way_forbids_no_clip_by_its_coding() -> None:
    """A run that ends a little after another camera setting began, as clocks tell it."""
    old = plain(seconds=4.2)
    new = plain("b", "r2", WALL + 4_100_000, stsd=video_stsd(b"\x01\x64\x00\x28"))
    clip = build([old.piece, new.piece], Interval(WALL + 4_100_000, WALL + 8_000_000), exact=False)
    assert clip.start_us == WALL + 4_100_000


def sound_of(footage: Footage, clip: VirtualMp4) -> list[tuple[str, int]]:
    return [(made.piece, made.number) for _, made, _ in samples_of(footage, clip) if made.kind == "audio"]


def sounding_on(first_us: int, second_us: int) -> tuple[Footage, int]:
    """Two runs of a room whose microphone goes on: its packets lie on one grid, and the second run's picture
    begins in the middle of the one that the first run ends with. The number of that packet.
    """
    first = plain(start_us=first_us, seconds=5.0)
    packets = len([made for made in first.samples if made.kind == "audio"])
    # The next packet of the grid, by the clock of the second run, whose picture begins 10 ms before it.
    next_us = first_us + packets * 1024 * 1_000_000 // 48_000
    assert next_us > second_us
    base = 7 * VIDEO_TICKS
    video = [(base + n * 9000, 0, 9000, n % 7 == 0) for n in range(42)]
    late = (next_us - second_us) * 48_000 // 1_000_000
    audio = [(7 * 48_000 + late + n * 1024, 1024) for n in range(190)]
    return Footage([first, make_segment("b", "r2", second_us, video, audio)], 48_000), packets - 1


@pytest.mark.parametrize("early_us", [10_000, 1, 21_000])
def test_a_change_of_runs_loses_no_sound_that_the_files_hold(early_us: int) -> None:
    """A clip left out up to 21 ms: the packet that reaches over the first picture of the next run."""
    packets = round(5.0 * 48_000 / 1024)
    next_us = WALL + packets * 1024 * 1_000_000 // 48_000
    footage, last = sounding_on(WALL, next_us - early_us)
    clip = build(footage.pieces, Interval(WALL, WALL + 9_500_000), exact=False)
    held = sound_of(footage, clip)
    assert ("a", last) in held
    assert ("b", 0) in held
    sound = next(track for track in parse_clip(footage.content(clip)) if track.kind == "audio")
    at = next(n for n, sample in enumerate(sound.samples) if sample.data.startswith(b"<b|"))
    assert sound.samples[at - 1].data.startswith(b"<a|"), "no silence between them"


def test_sound_of_two_runs_is_never_heard_twice() -> None:
    """Where the second run's sound begins inside the packet that the first ends with, that one gives way."""
    footage = Footage([plain(seconds=5.0), plain("b", "r2", WALL + 4_990_000, media_s=7.0)], 48_000)
    clip = build(footage.pieces, Interval(WALL, WALL + 9_000_000), exact=False)
    ends = [
        segment.wall_us(made.start_s + made.duration_s)
        for segment, made, _ in samples_of(footage, clip)
        if made.kind == "audio" and made.piece == "a"
    ]
    assert max(ends) <= WALL + 4_990_000


def test_a_late_segment_changes_the_etag() -> None:
    pieces = [
        plain().piece,
        plain("b", "r2", WALL + 10_000_000).piece,
        plain("c", "r3", WALL + 5_000_000).piece,
    ]
    interval = Interval(WALL, WALL + 14_000_000)
    assert build(pieces[:2], interval, exact=False).etag != build(pieces, interval, exact=False).etag


def test_ranges_outside_the_file_are_refused() -> None:
    clip = build([plain().piece], Interval(WALL, WALL + 4_000_000), exact=False)
    assert list(clip.slices(5, 5)) == []
    for start, end in ((-1, 5), (5, 4), (0, clip.size + 1)):
        with pytest.raises(ValueError, match="no range"):
            list(clip.slices(start, end))


def test_neighbours_are_one_slice() -> None:
    clip = build([plain().piece], Interval(WALL, WALL + 4_200_000), exact=False)
    stored = [part for part in clip.slices(0, clip.size) if isinstance(part, Stored)]
    assert len(stored) == 1


def hours(count: int) -> list[Piece]:
    minute_us = 60_000_000
    return [
        Piece(str(n), minute_index(n), WALL + n * minute_us, WALL + (n + 1) * minute_us, "r")
        for n in range(60 * count)
    ]


def test_an_hour_joins_without_a_hole() -> None:
    clip = build(hours(1), Interval(WALL, WALL + 3_600_000_000), exact=True)
    assert clip.gaps == ()
    assert len(clip.runs) == 1
    assert clip.end_us - clip.start_us == pytest.approx(3_600_000_000, abs=50_000)


def test_staff_clips_of_hours_are_few_slices() -> None:
    clip = build(hours(3), Interval(WALL, WALL + 3 * 3_600_000_000), exact=False)
    assert sum(isinstance(part, Stored) for part in clip.slices(0, clip.size)) <= 2 * 180
