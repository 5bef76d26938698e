"""The clip engine on made-up segments: which samples a clip holds, when they are shown, in which bytes."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.mp4.virtual import (
    ClipTooLongError,
    CodecChangeError,
    Gap,
    Literal,
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
    Made,
    MadeSegment,
    Sample,
    audio_stsd,
    make_segment,
    minute_index,
    parse_clip,
    video_stsd,
)

WALL = 1_795_000_000_000_000
# Positions of a group of pictures in decoding order: I, then P with the B-frames before it.
PLAIN, REORDERED = (0, 1, 2, 3, 4, 5, 6), (0, 3, 1, 2, 6, 4, 5)


@dataclass
class Footage:
    segments: list[MadeSegment]
    rate: int

    @property
    def pieces(self) -> list[Piece]:
        return [segment.piece for segment in self.segments]

    def content(self, clip: VirtualMp4) -> bytes:
        return self.part(clip, 0, clip.size)

    def part(self, clip: VirtualMp4, start: int, end: int) -> bytes:
        objects = {segment.piece.name: segment.data for segment in self.segments}
        return b"".join(
            part.data if isinstance(part, Literal) else objects[part.name][part.offset :][: part.length]
            for part in clip.slices(start, end)
        )

    def find(self, data: bytes) -> tuple[MadeSegment, Made] | None:
        """The sample with exactly these bytes; None for silence; anything else fails."""
        if data == SILENCE:
            return None
        match = re.fullmatch(rb"<([^|]+)\|(\w+)\|(\d+)>\.*", data)
        assert match, data
        name, kind, number = match[1].decode(), match[2].decode(), int(match[3])
        segment = next(each for each in self.segments if each.piece.name == name)
        made = next(each for each in segment.samples if (each.kind, each.number) == (kind, number))
        assert made.data == data
        return segment, made


@st.composite
def footage(draw: st.DrawFn) -> Footage:
    """One to five segments of one to three runs, with gaps, lost sound, and clocks that wander."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    rate = draw(st.sampled_from([48_000, 16_000, 44_100]))
    order = draw(st.sampled_from([PLAIN, REORDERED]))
    sound_wanders = draw(st.booleans())
    segments: list[MadeSegment] = []
    wall_us, media_s, sound_at, run = WALL, rng.uniform(0, 1e6), None, 0
    for number in range(draw(st.integers(1, 5))):
        if number and draw(st.booleans()):
            run, media_s, sound_at = run + 1, rng.uniform(0, 1e6), None
            wall_us += draw(st.sampled_from([20_000, 333_333, 4_100_000]))
        elif number and draw(st.booleans()):
            lost_s = draw(st.sampled_from([3.0, 7.0]))
            wall_us, media_s, sound_at = wall_us + round(lost_s * 1e6), media_s + lost_s, None
        groups = draw(st.integers(1, 4))
        base, step = round(media_s * VIDEO_TICKS), VIDEO_TICKS // 10
        video = [
            (base + (7 * group + at) * step, (position - at) * step, step, position == 0)
            for group in range(groups)
            for at, position in enumerate(order)
        ]
        end_s = media_s + groups * 0.7
        audio, at = [], sound_at if sound_at is not None else round((media_s + rng.uniform(0, 0.1)) * rate)
        lose = draw(st.sampled_from([None, None, 0.3]))
        while at / rate < end_s:
            if lose is None or not media_s + lose < at / rate < media_s + 2 * lose:
                audio.append((at, 1024))
            at += 1024 + (rng.choice([-1, 0, 1]) if sound_wanders else 0)
        sound_at = at
        if draw(st.integers(0, 5)) == 0:
            audio, sound_at = [], None
        segments.append(make_segment(f"s{number}", f"run{run}", wall_us, video, audio, rate=rate))
        wall_us, media_s = wall_us + round((end_s - media_s) * 1e6), end_s
    return Footage(segments, rate)


@st.composite
def asked(draw: st.DrawFn) -> Interval:
    start = WALL + draw(st.integers(-1_000_000, 6_000_000))
    return Interval(start, start + draw(st.integers(50_000, 12_000_000)))


def built(footage: Footage, interval: Interval, *, exact: bool) -> VirtualMp4 | None:
    try:
        return build(footage.pieces, interval, exact=exact)
    except NothingRecordedError:
        return None


COMMON = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@COMMON
@given(footage(), asked(), st.booleans(), st.data())
def test_any_range_is_that_slice_of_the_whole(
    footage: Footage, interval: Interval, exact: bool, data: st.DataObject
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    whole = footage.content(clip)
    assert len(whole) == clip.size
    for _ in range(5):
        start = data.draw(st.integers(0, clip.size))
        end = data.draw(st.integers(start, clip.size))
        assert footage.part(clip, start, end) == whole[start:end]


@COMMON
@given(footage(), asked(), st.booleans())
def test_every_sample_of_the_interval_once_and_none_outside(
    footage: Footage, interval: Interval, exact: bool
) -> None:
    clip = built(footage, interval, exact=exact)
    held = samples_of(footage, clip) if clip else []
    names = [(made.piece, made.kind, made.number) for _, made, _ in held]
    assert len(set(names)) == len(names)
    for segment, made, _ in held:
        before, after = support(made, exact=exact)
        assert segment.wall_us(before) >= interval.start_us
        assert segment.wall_us(after) <= interval.end_us
    if clip is None:
        return
    assert interval.start_us <= clip.start_us < clip.end_us <= interval.end_us
    for segment in footage.segments:
        for made in segment.samples:
            if (made.piece, made.kind, made.number) not in names:
                decodable = any(
                    (made.piece, "video", key.number) in names
                    for key in segment.samples
                    if key.kind == "video" and key.sync and key.number <= made.number
                )
                assert (made.kind == "video" and not made.sync and not decodable) or left_out_rightly(
                    footage, segment, made, interval, clip, exact=exact
                ), made


def support(made: Made, *, exact: bool) -> tuple[Fraction, Fraction]:
    """From when to when something is seen or heard of the sample, in media time."""
    margin = made.duration_s if exact and made.kind == "audio" else Fraction(0)
    return made.start_s - margin, made.start_s + made.duration_s + margin


def left_out_rightly(
    footage: Footage, segment: MadeSegment, made: Made, interval: Interval, clip: VirtualMp4, *, exact: bool
) -> bool:
    before, after = (segment.wall_us(at) for at in support(made, exact=exact))
    if before < interval.start_us or after > interval.end_us or segment.wall_us(made.start_s) < clip.start_us:
        return True
    # The next run takes over; its first instant may be rounded to a microsecond.
    others = [
        p.start_us
        for p in footage.pieces
        if p.run != made_run(segment) and p.start_us > segment.piece.start_us
    ]
    if any(segment.wall_us(made.start_s + made.duration_s) > other for other in others):
        return True
    if made.kind == "audio":
        return False
    # Before the end: what the first picture that is too late, in decoding order, would have shown with it.
    return interval.end_us - after < 0.7e6 and any(
        other.number < made.number and segment.wall_us(other.start_s + other.duration_s) > interval.end_us
        for other in segment.samples
        if other.kind == "video"
    )


def made_run(segment: MadeSegment) -> str:
    return segment.piece.run


def samples_of(footage: Footage, clip: VirtualMp4) -> list[tuple[MadeSegment, Made, Sample]]:
    found = []
    for track in parse_clip(footage.content(clip)):
        for sample in track.samples:
            known = footage.find(sample.data)
            if known is not None:
                assert known[1].kind == track.kind
                assert known[1].sync == sample.sync
                found.append((*known, sample))
    return found


@COMMON
@given(footage(), asked(), st.booleans())
def test_the_first_picture_is_a_keyframe_and_pictures_keep_their_order(
    footage: Footage, interval: Interval, exact: bool
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    tracks = {track.kind: track.samples for track in parse_clip(footage.content(clip))}
    pictures = tracks.get("video", [])
    if pictures:
        assert pictures[0].sync
        assert pictures[0].present_s == min(each.present_s for each in pictures) == 0
        shown = sorted(pictures, key=lambda each: each.present_s)
        walls = [segment.wall_us(made.start_s) for segment, made in (footage.find(p.data) for p in shown)]
        assert walls == sorted(walls)
        assert len({each.present_s for each in shown}) == len(shown)


@COMMON
@given(footage(), asked(), st.booleans())
def test_sound_has_no_holes_and_stays_with_the_picture(
    footage: Footage, interval: Interval, exact: bool
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    packet_s = Fraction(1024, footage.rate)
    tracks = {track.kind: track for track in parse_clip(footage.content(clip))}
    assert not clip.stretched_sound
    if "audio" in tracks:
        assert {round(s.duration_s * footage.rate) for s in tracks["audio"].samples} == {1024}
    held = samples_of(footage, clip)
    sound = [(segment, made, sample) for segment, made, sample in held if made.kind == "audio"]
    # The very first sample may be shown earlier than it was: from the clip's beginning on.
    wall_zero = next(
        (
            segment.wall_us(made.start_s) / 10**6 - each.present_s
            for segment, made, each in held
            if each.present_s
        ),
        Fraction(0),
    )
    for segment, made, sample in held:
        wall = segment.wall_us(made.start_s) / 10**6
        if sample.present_s:
            # On the wall's line, but for the half packet that a hole may cost.
            assert abs(wall - wall_zero - sample.present_s) < packet_s / 2 + 0.005
        near = min(
            (each for each in sound if each[0].piece.run == segment.piece.run),
            key=lambda each: abs(each[1].start_s - made.start_s),
            default=None,
        )
        if (
            made.kind == "video"
            and sample.present_s
            and near
            and abs(near[1].start_s - made.start_s) < packet_s / 2
        ):
            apart = (sample.present_s - near[2].present_s) - (made.start_s - near[1].start_s)
            assert abs(apart) <= 0.0011, (made, near[1])


@COMMON
@given(footage(), asked(), st.booleans(), st.randoms())
def test_the_same_plan_gives_the_same_bytes(
    footage: Footage, interval: Interval, exact: bool, rng: random.Random
) -> None:
    clip = built(footage, interval, exact=exact)
    if clip is None:
        return
    shuffled = footage.pieces
    rng.shuffle(shuffled)
    again = build(shuffled, interval, exact=exact)
    assert (again.etag, again.head) == (clip.etag, clip.head)
    assert list(again.slices(0, again.size)) == list(clip.slices(0, clip.size))


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


def test_too_long_a_clip_names_where_to_split() -> None:
    hour = 3_600_000_000
    pieces = [plain(str(n), f"r{n}", WALL + n * hour).piece for n in range(8)]
    with pytest.raises(ClipTooLongError) as caught:
        build(pieces, Interval(WALL, WALL + 7 * hour), exact=False)
    assert len(caught.value.split_us) == 2
    edges = [WALL, *caught.value.split_us, WALL + 7 * hour]
    assert all(build(pieces, Interval(a, b), exact=False).size for a, b in pairwise(edges))


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
    build([plain().piece, changed.piece], Interval(WALL, WALL + 5_000_000), exact=False)


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


def test_an_hour_is_planned_within_a_tenth_of_a_second() -> None:
    pieces = hours(1)
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        clip = build(pieces, Interval(WALL, WALL + 3_600_000_000), exact=True)
        taken.append(time.perf_counter() - begun)
    assert clip.gaps == ()
    assert len(clip.runs) == 1
    assert clip.end_us - clip.start_us == pytest.approx(3_600_000_000, abs=50_000)
    assert min(taken) < 0.1


def test_staff_clips_of_hours_are_few_slices() -> None:
    clip = build(hours(3), Interval(WALL, WALL + 3 * 3_600_000_000), exact=False)
    assert sum(isinstance(part, Stored) for part in clip.slices(0, clip.size)) <= 2 * 180
