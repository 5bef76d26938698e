"""The muxer's options, asserted on the boxes that they write."""

from __future__ import annotations

import io

import av
import pytest

from recorder.capture.muxer import UnsupportedMediaError, video_template
from recorder.capture.parameters import parameter_sets
from recorder.fragments import FileContent, FragmentError, boxes
from recorder.manifest import Track
from recorder.partfile import DiskError
from tests.agent_media import Bytes, mux, pictures, sounds


def kinds(data):
    return [kind for kind, _, _ in boxes(data)]


@pytest.mark.parametrize(("codec", "name"), [("libx264", "h264"), ("libx265", "hevc")])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_media_time_is_absolute_and_the_offset_of_the_tracks_is_kept(codec, name, b_frames):
    target = Bytes()
    mux(target, pictures(3, codec=codec, b_frames=b_frames), sounds(3), codec=name)
    content = FileContent()
    content.feed(target.data)
    video, audio = content[Track.VIDEO], content[Track.AUDIO]
    assert video.timescale == 90_000
    assert audio.timescale == audio.sample_rate == 48_000
    # What is shown first is shown at 10 s on both tracks, by the boxes: frames that are decoded early
    # have negative composition offsets (ISO/IEC 14496-12, `trun` version 1).
    assert video.start_ticks / 90_000 == pytest.approx(10.0)
    assert video.end_ticks / 90_000 == pytest.approx(13.0)
    assert audio.start_ticks / 48_000 == pytest.approx(10.0 - 1024 / 48_000)
    assert video.samples == 75
    assert video.duration_ticks == 75 * 3600
    assert (video.width, video.height) == (320, 240)
    with av.open(io.BytesIO(target.data)) as file:
        times = [float(frame.time) for frame in file.decode(video=0)]
    # FFmpeg's own reader moves such a track by as much as the offsets are negative.
    assert times[0] == pytest.approx(10.0, abs=0.09 if b_frames else 1e-6)
    assert [t - times[0] for t in times] == pytest.approx([n / 25 for n in range(75)])


def test_one_write_is_one_fragment_and_nothing_follows_the_last():
    target = Bytes()
    muxer = mux(target, pictures(2), sounds(2))
    assert kinds(target.writes[0]) == [b"ftyp", b"moov"]
    assert all(kinds(write) == [b"moof", b"mdat"] for write in target.writes[1:])
    assert len(target.writes) == muxer.fragments >= 10
    assert max(len(write) for write in target.writes) < 1 << 20


def test_a_fragment_larger_than_the_buffer_arrives_whole():
    noise = pictures(0.2, size=(1280, 720))
    for packet in noise[1:]:
        # Filler data (NAL type 12) makes a picture of 700 kB.
        packet.__init__(bytes(packet) + b"\0\0\0\1\x0c" + b"\xff" * 700_000 + b"\x80")
    target = Bytes()
    stamps = pictures(0.2)
    for packet, stamp in zip(noise[1:], stamps[1:], strict=True):
        packet.pts, packet.dts, packet.duration, packet.time_base = (
            stamp.pts,
            stamp.dts,
            stamp.duration,
            stamp.time_base,
        )
    mux(target, noise)
    assert [kinds(write) for write in target.writes] == [[b"ftyp", b"moov"], [b"moof", b"mdat"]]
    assert len(target.writes[1]) > 2 << 20


def test_silence_of_one_track_holds_nothing_back():
    target = Bytes()
    muxer = mux(target, pictures(0.04), sounds(0.05))
    target = Bytes()
    video = pictures(3)
    from recorder.capture.muxer import Muxer  # noqa: PLC0415 beside its only use
    from recorder.capture.sound import encoded_template  # noqa: PLC0415 beside its only use

    muxer = Muxer(target, video_template("h264", bytes(video[0])), encoded_template())
    mux(target, video, muxer=muxer)
    # All but the fragment under way and a tenth of a second for the order of the tracks.
    assert muxer.content[Track.VIDEO].samples >= 75 - 5 - 5
    assert muxer.content[Track.AUDIO].samples == 0


def test_a_failing_target_is_told_once_and_nothing_is_written_after_it():
    class Full:
        def __init__(self):
            self.calls = 0

        def append(self, data):
            self.calls += 1
            if self.calls == 3:
                raise DiskError("write", OSError(28, "No space left on device"))

    target = Full()
    with pytest.raises(DiskError, match="No space left"):
        mux(target, pictures(3))
    assert target.calls == 3


def test_parameter_sets_tell_a_change_of_format():
    small, large = pictures(0.1)[0], pictures(0.1, size=(640, 480))[0]
    assert parameter_sets("h264", small)
    assert parameter_sets("h264", small) == parameter_sets("h264", pictures(0.1)[0])
    assert parameter_sets("h264", small) != parameter_sets("h264", large)
    assert parameter_sets("h264", pictures(0.1)[1]) == b""
    assert len(parameter_sets("hevc", pictures(0.1, codec="libx265")[0])) > 30
    # One of the two was lost on its way.
    assert parameter_sets("h264", b"\0\0\1\x67\x42\0\0\1\x65\x88") == b""
    assert parameter_sets("h264", b"\0\0\1\x67\x42\0\0\1\x68\xce\0\0\1\x65") == b"\x67\x42\x68\xce"


def test_what_no_file_can_hold_is_refused_in_words():
    with pytest.raises(UnsupportedMediaError, match=r"sends mjpeg video; set it to H\.264"):
        video_template("mjpeg", b"")
    with pytest.raises(UnsupportedMediaError, match="without parameter sets"):
        video_template("h264", bytes(pictures(0.1)[1]))


@pytest.mark.parametrize(
    "rubbish", [b"\0\0\0\x09moof", b"\0\0\0\x04moof", b"abc", b"\0\0\0\x10moof\0\0\0\x20traf"]
)
def test_rubbish_is_an_error_of_its_own(rubbish):
    content = FileContent()
    with pytest.raises(FragmentError):  # noqa: PT012 whichever of the two finds it
        content.feed(rubbish)
        content.statements()
