"""The decoding program: what it makes of real media, what it is never given, and what it cannot do."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from archive.keys import KEY_BYTES
from archive.media import process, work
from archive.media.question import question_of
from archive.mp4.boxes import Mp4Error
from archive.mp4.reader import read_index
from archive.mp4.selection import Piece
from recorder.instants import US_PER_SECOND
from tests.agent_media import Bytes, mux, pictures, sounds
from tests.footage import make_archive, media
from tests.integration import unit_sandbox
from tests.mp4_media import Shape, record
from tests.processes import wait_for

ROOT = Path(__file__).parents[2]
START_US = 1_795_168_800_000_000 + 250_000
SECOND_US = START_US // US_PER_SECOND * US_PER_SECOND
JPEG = b"\xff\xd8\xff\xe0 picture \xff\xd9"


class Reader:
    """A stored object's plain bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size_bytes = data, len(data)

    def pread(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def close(self) -> None:
        pass


def asked(data: bytes, seconds: float) -> work.Question:
    reader = Reader(data)
    index = read_index(reader.pread, reader.size_bytes)
    piece = Piece("108/2026-11-20/a.mp4", index, START_US, START_US + int(seconds * US_PER_SECOND), "run")
    return question_of(piece, reader)


def shown(jpeg: bytes) -> np.ndarray:
    with av.open(io.BytesIO(jpeg)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def small_question() -> work.Question:
    return asked(media(1), 1)


def test_a_thumbnail_each_ten_seconds_with_the_time_of_its_keyframe():
    # A keyframe each three seconds, over 25 s: at 0, 12 and 21 begin the tens that have one.
    recorded = record(Shape(seconds=25, gop=15, fps=5, segment_s=60))
    question = asked(recorded.segments[0], 25)
    answer = process.ask(question)
    assert [each.at_us - START_US for each in answer.thumbnails] == [
        0,
        12 * US_PER_SECOND,
        21 * US_PER_SECOND,
    ]
    for thumbnail in answer.thumbnails:
        picture = shown(thumbnail.jpeg)
        assert picture.shape == (240, 320, 3)
        # Every whole second of these recordings begins with a white picture, between dark ones.
        assert picture[120:].mean() > 200
        assert len(thumbnail.jpeg) < work.MAX_THUMBNAIL_BYTES
    assert answer.undecodable == 0


@pytest.mark.parametrize(("codec", "name"), [("libx264", "h264"), ("libx265", "hevc")])
def test_pictures_of_both_codings_with_b_frames_become_thumbnails(codec, name):
    target = Bytes()
    mux(target, pictures(2, codec=codec, b_frames=2), codec=name)
    question = asked(target.data, 2)
    assert question.pictures.codec == name
    answer = process.ask(question)
    assert [each.at_us for each in answer.thumbnails] == [START_US]
    assert answer.loudness == ()


def test_loudness_is_told_for_each_second_of_the_clock():
    """A tone of amplitude 0.3 is 13.5 dB below full scale: 78 of 100."""
    answer = process.ask(asked(media(2), 2))
    # The segment begins a quarter of a second into a second.
    assert answer.loudness_start_us == START_US // US_PER_SECOND * US_PER_SECOND
    assert len(answer.loudness) == 3
    assert all(abs(value - 78) <= 2 for value in answer.loudness)


def test_silence_is_zero_and_sound_alone_has_no_thumbnail():
    target = Bytes()
    mux(target, pictures(2), sounds(2))
    assert set(process.ask(asked(target.data, 2)).loudness) == {0}
    recorded = record(Shape(seconds=2, video=False, segment_s=2))
    answer = process.ask(asked(recorded.segments[0], 2))
    assert answer.thumbnails == ()
    assert max(answer.loudness) > 0


def test_damaged_samples_are_left_out_and_counted_the_rest_is_made():
    question = small_question()
    noise = np.random.default_rng(1).bytes
    worse = work.Question(
        work.Track("h264", question.pictures.config, (work.Sample(START_US, noise(5000)),)),
        question.shape,
        question.sound,
    )
    answer = process.ask(worse)
    assert answer.thumbnails == ()
    assert answer.undecodable >= 1
    assert len(answer.loudness) >= 1


def test_what_an_agent_calls_sound_is_never_read_beyond_what_sound_can_be():
    """The server would have it in memory, while it hands it over."""
    data = media(1)
    reader = Reader(data)
    index = read_index(reader.pread, reader.size_bytes)

    def piece(**sizes: int) -> Piece:
        tracks = [
            replace(each, size=np.full_like(each.size, sizes.get(each.kind, 1))) for each in index.tracks
        ]
        hostile = replace(index, tracks=tuple(tracks))
        return Piece("108/2026-11-20/a.mp4", hostile, START_US, START_US + US_PER_SECOND, "run")

    class Unread(Reader):
        def pread(self, offset: int, length: int) -> bytes:
            raise AssertionError(f"{length} bytes were read")

    with pytest.raises(Mp4Error, match="sound"):
        question_of(piece(audio=(16 << 20) // len(index.audio) + 1), Unread(data))


# --- what it has, and what it can do ---


def started(body: str) -> tuple[str, ...]:
    """A program that confines itself as the real one does, and then tries what hostile media would."""
    before = (
        "import os, sys, socket, ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "from archive.media import confinement\n"
        "confinement.limit()\n"
    )
    tried = "\n".join(f"    {line}" for line in body.splitlines())
    after = "except BaseException as e:\n    os.write(1, repr(e).encode())\nos._exit(0)\n"
    return (sys.executable, "-c", f"{before}confinement.close()\ntry:\n{tried}\n{after}")


def said_by(body: str) -> str:
    with process.start(started(body)) as program:
        out, _ = program.communicate(b"", timeout=20)
    return out.decode()


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/hostname').read()",
        "os.listdir('/')",
        "os.stat('/etc/passwd')",
        "open('/tmp/protokol-escape', 'w')",
        "open('/proc/1/mem', 'rb')",
        "os.kill(1, 0)",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
        "os.fork()",
        "os.execv('/bin/true', ['/bin/true'])",
        "os.dup(1)",
        "os.read(1, 1)",
        "os.write(2, b'x')",
        "os.pipe()",
        "os.setuid(0)",
        # PTRACE_ATTACH, by the C library.
        "raise OSError(libc.ptrace(16, 1, 0, 0) and ctypes.get_errno(), 'ptrace')",
    ],
)
def test_the_program_can_do_nothing_but_compute_and_answer(attempt):
    assert said_by(f"{attempt}\nos.write(1, b'done')").startswith("PermissionError")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="the unit's rules need systemd's lists")
def test_the_program_runs_under_the_rules_of_the_servers_unit():
    unit = ROOT / "systemd" / "protokol-server.service"
    command = (sys.executable, unit_sandbox.__file__, str(unit), *process.COMMAND)
    assert process.ask(small_question(), command=command).undecodable == 0


def test_the_cage_lets_the_program_answer():
    assert said_by("os.write(1, os.read(0, 10) + str(sum(range(10))).encode())") == "45"


def test_the_program_has_no_key_in_its_environment_its_files_or_its_memory(tmp_path, monkeypatch):
    """The server's process has all of them while it starts the program: the master key in memory and in a
    file whose name is in the environment, the databases open.
    """
    monkeypatch.setenv("PROTOKOL_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    monkeypatch.setenv("PROTOKOL_METRICS_TOKEN", "a secret of the server's own")
    archive = make_archive(tmp_path, demo=False)
    master = (tmp_path / "master.key").read_bytes()
    day = archive.store.keys.writing_key("108", "2026-11-20")
    assert len(day) == KEY_BYTES
    with (tmp_path / "master.key").open("rb"), process.start() as program:
        # It has read a part of its question, and hence is inside its cage.
        program.stdin.write(b"0000")
        own = f"/proc/{program.pid}"
        status = Path(f"{own}/status")
        wait_for(lambda: "Seccomp:\t2" in status.read_text(), 20, "the cage is closed")
        environment = Path(f"{own}/environ").read_bytes()
        files = {str(each.readlink()) for each in Path(f"{own}/fd").iterdir()}
        memory = memory_of(program.pid)
        # What is looked for would be found: of this very process, the same look finds both.
        mine = memory_of(os.getpid())
        assert master in mine
        assert day in mine
        program.kill()
    archive.close()
    assert "PROTOKOL" not in environment.decode()
    assert str(tmp_path) not in environment.decode()
    assert {name.partition(":")[0] for name in files} <= {"pipe", "/dev/null"}
    assert b"confinement" in memory
    for secret in (master, day, b"a secret of the server's own", bytes(tmp_path / "master.key")):
        assert secret not in memory


def memory_of(pid: int) -> bytes:
    """All of a process that can be read, as a debugger sees it; needs root, or to be its parent."""
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            start, end = (int(each, 16) for each in span.split("-"))
            if mode.startswith("rw"):
                memory.seek(start)
                try:
                    found.append(memory.read(end - start))
                except OSError:
                    continue
    return b"".join(found)


# --- hostile media ---


def test_a_program_that_hangs_is_ended():
    with pytest.raises(process.MediaError, match="did not answer within 1 s"):
        process.ask(small_question(), time_out_s=1, command=started("while True: pass"))


def test_a_program_that_dies_is_told_with_its_signal():
    command = started("ctypes.string_at(0)")
    with pytest.raises(process.MediaError, match="SIGSEGV"):
        process.ask(small_question(), command=command)


def test_a_program_that_wants_all_memory_gets_none():
    body = "x = bytearray(2 << 30); os.write(1, b'got it')"
    assert said_by(body).startswith("MemoryError")


def test_a_program_that_talks_without_end_is_ended():
    command = started("while True: os.write(1, bytes(65536))")
    with pytest.raises(process.MediaError, match="more than an answer"):
        process.ask(small_question(), command=command)


def test_a_program_that_reads_nothing_does_not_hold_the_server():
    question = small_question()
    big = work.Question(
        work.Track("h264", b"", (work.Sample(START_US, bytes(4 << 20)),)), question.shape, None
    )
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    with pytest.raises(process.MediaError, match="did not answer"):
        process.ask(big, time_out_s=1, command=command)
    with pytest.raises(process.MediaError, match="ended with code 3"):
        process.ask(big, command=(sys.executable, "-c", "raise SystemExit(3)"))


def test_what_the_server_raises_while_it_waits_ends_the_program():
    class StoppedError(Exception):
        pass

    def look():
        raise StoppedError

    before = children()
    with pytest.raises(StoppedError):
        process.ask(small_question(), look=look)
    assert children() == before


def children() -> set[str]:
    tasks = Path(f"/proc/{os.getpid()}/task")
    return {pid for each in tasks.iterdir() for pid in (each / "children").read_text().split()}


@pytest.mark.parametrize(
    "lie",
    [
        lambda q: b"",
        lambda q: b"\0\0\0\xff{}",
        lambda q: b"\xff\xff\xff\xff",
        lambda q: work._framed({"thumbnails": []}),
        lambda q: answer_of(q, thumbnails=[(START_US, JPEG[:-2])]),
        lambda q: answer_of(q, thumbnails=[(START_US, b"<script>")]),
        lambda q: answer_of(q, thumbnails=[(START_US, JPEG), (START_US, JPEG)]),
        lambda q: answer_of(q, thumbnails=[(START_US + 1, JPEG)]),
        lambda q: answer_of(q, thumbnails=[(START_US, JPEG + bytes(work.MAX_THUMBNAIL_BYTES) + JPEG)]),
        lambda q: answer_of(q) + b"more",
        lambda q: answer_of(q, loudness=(101,)),
        lambda q: answer_of(q, loudness=(-1,)),
        lambda q: answer_of(q, loudness=(True,)),
        lambda q: answer_of(q, loudness=(0,) * (work.MAX_STEPS + 1)),
        lambda q: answer_of(q, loudness=(0,) * 4),
        lambda q: answer_of(q, start_us=1),
        lambda q: answer_of(q, start_us=-US_PER_SECOND),
        lambda q: answer_of(q, start_us=0),
        lambda q: answer_of(q, start_us=SECOND_US + 1000 * US_PER_SECOND),
        lambda q: answer_of(q, thumbnails=[(float(START_US), JPEG)]),
        lambda q: work.encode_failure("MemoryError"),
    ],
)
def test_an_answer_is_believed_in_form_only(lie):
    question = small_question()
    with pytest.raises(work.WorkError):
        work.decode_answer(lie(question), question)


def answer_of(question, *, thumbnails=((START_US, JPEG),), start_us=SECOND_US, loudness=(5, None)) -> bytes:
    pictures = tuple(work.Thumbnail(*each) for each in thumbnails)
    return work.encode_answer(work.Answer(pictures, start_us, loudness, 0))


def test_a_true_answer_is_believed():
    question = small_question()
    answer = work.decode_answer(answer_of(question), question)
    assert answer.thumbnails == (work.Thumbnail(START_US, JPEG),)
    assert answer.loudness == (5, None)


def test_the_program_ends_when_its_server_is_gone():
    """Its input ends, and nobody takes its answer."""
    code = (
        "from archive.media import process; import os\n"
        "p = process.start(); print(p.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    pid = int(done.stdout)

    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()

    wait_for(is_gone, 20, "the program has ended")
