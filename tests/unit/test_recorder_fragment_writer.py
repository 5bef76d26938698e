"""Fragments as bytes: what is put in is what the boxes say, however it is cut up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.mp4.reader import read_index
from recorder.capture.muxer import Muxer, video_template
from recorder.capture.sound import encoded_template
from recorder.fragment_writer import TrackWriter, fragment, length_prefixed
from recorder.fragments import FileContent, boxes
from recorder.manifest import Track
from tests.agent_media import Bytes, mux, pictures, sounds

UNITS = st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"\0", b"\1")), min_size=1)


@given(UNITS, st.lists(st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\1"]), min_size=1))
def test_every_unit_stands_behind_its_length_whatever_the_start_codes(units, codes):
    annex_b = b"".join(codes[n % len(codes)] + unit for n, unit in enumerate(units))
    assert b"".join(length_prefixed(annex_b)) == b"".join(len(u).to_bytes(4, "big") + u for u in units)


def test_zeros_inside_a_unit_are_kept_and_those_behind_it_are_not():
    assert b"".join(length_prefixed(b"\0\0\1\x65\0\0\3\0\0\0\0\1\x41\0")) == b"\0\0\0\4\x65\0\0\3\0\0\0\1\x41"


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=40), st.data())
def test_times_are_absolute_wherever_a_fragment_ends(steps, data):
    video = TrackWriter(1, pictures=True, usual_ticks=3600)
    ticks, at, written = [], 900_000, []
    for step in steps:
        ticks.append(at)
        video.add([b"x" * (step % 7 + 1)], at, at, sync=not written)
        at += step
        if data.draw(st.booleans()):
            written.append(fragment(len(written) + 1, [video]))
    if len(video):
        written.append(fragment(len(written) + 1, [video]))
    head = Bytes()
    Muxer(head, video_template("h264", bytes(pictures(0.04)[0])), None)
    whole = head.data + b"".join(written)
    (track,) = read_index(lambda start, length: whole[start : start + length], len(whole)).tracks
    assert list(track.dts) == ticks
    assert list(track.size) == [step % 7 + 1 for step in steps]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_flushed_file_says_the_same_as_one_that_was_not(codec, b_frames):
    name = "h264" if codec == "libx264" else "hevc"
    contents = []
    for flushing in (False, True):
        video, target = pictures(2, codec=codec, b_frames=b_frames), Bytes()
        muxer = Muxer(target, video_template(name, bytes(video[0])), encoded_template())
        sound = sounds(2)
        for second in range(2):
            mux(
                target,
                video[25 * second : 25 * second + 25],
                sound[46 * second : 46 * second + 46],
                muxer=muxer,
            )
            if flushing:
                muxer.flush()
        muxer.close()
        content = FileContent()
        content.feed(target.data)
        contents.append([statement.model_dump() for statement in content.statements()])
    assert contents[0] == contents[1]


def test_a_hole_is_no_samples_duration():
    target = Bytes()
    sound, video = sounds(2), pictures(2)
    muxer = Muxer(target, video_template("h264", bytes(video[0])), encoded_template())
    mux(target, video, sound[:20] + sound[60:], muxer=muxer)
    muxer.close()
    statement = muxer.content[Track.AUDIO]
    assert statement.duration_ticks < (len(sound) - 40 + 3) * 1024
    assert statement.end_ticks == 480_000 + (len(sound) - 1) * 1024


def test_flush_leaves_no_picture_behind_and_collects_sound():
    video, sound, target = pictures(1), sounds(1)[1:], Bytes()  # the first is the encoder's run-in
    muxer = Muxer(target, video_template("h264", bytes(video[0])), encoded_template())
    written = len(target.writes)
    for packet in sound[:3]:
        muxer.mux_audio(packet)
        muxer.flush()
    assert len(target.writes) == written
    muxer.mux_video(video[0])
    muxer.flush()
    assert [kind for kind, _, _ in boxes(target.writes[-1])] == [b"moof", b"mdat"]
    assert muxer.content[Track.VIDEO].samples == 1
    assert muxer.content[Track.AUDIO].samples == 3
    for packet in sound[3:9]:
        muxer.mux_audio(packet)
        muxer.flush()
    assert len(target.writes) == written + 2
