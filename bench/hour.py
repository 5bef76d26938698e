"""An hour of one room, twice: sealed in an archive, and as the plain files that an agent shipped.

One run without a seam: a minute is encoded, repeated, and cut as an agent cuts it.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from archive.enrolment import enroll
from archive.ingest import Ingest
from archive.local_store import LocalStore
from archive.models import Segment
from archive.mp4.reader import read_index
from archive.search import segments
from archive.system import Archive
from archive.upload import Answer
from bench.spools import Filler, make_media
from recorder.chain import read_manifest
from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from recorder.intervals import Interval
from recorder.keyfile import AgentKey
from recorder.ledger import new_id
from recorder.spool import Spool

ROOM = "201"
# 930 MB an hour, as in the measurements that the bars come from.
_MINUTE_MB = 15.5
_MINUTES = 62
_LIMIT_BYTES = 10 * 10**9
_PIECE_BYTES = 1 << 20
_FRAGMENTED = (
    "movflags=frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer:"
    "frag_duration=200000:avoid_negative_ts=disabled"
)
ROOMS_FILE = f"""\
council: {{name: {{uk: Рада, en: Council}}, timezone: Europe/Kyiv}}
retention: {{months: 1}}
hours:
  mon-sun: ["00:00-24:00"]
rooms:
  - {{id: "{ROOM}", label: "{ROOM}", floor: 2, cameras: [{{name: main, url: "rtsp://127.0.0.1:9/"}}]}}
"""


@dataclass(frozen=True)
class Hour:
    """`recorded` is a little more than the hour `asked` for, which begins on a keyframe."""

    recorded: Interval
    plain: LocalStore
    files: tuple[Path, ...]

    @property
    def asked(self) -> Interval:
        return self.from_second(0)

    def from_second(self, second: int) -> Interval:
        """An hour that begins so much later."""
        start_us = self.recorded.start_us + second * US_PER_SECOND
        return Interval(start_us, start_us + 60 * US_PER_MINUTE)


def make_files(directory: Path) -> list[Path]:
    """Segments of a minute, fragmented as an agent's are, on one timeline."""
    minute = directory / "minute.mp4"
    make_media(minute, 60, _MINUTE_MB)
    command = [
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-stream_loop",
        str(_MINUTES - 1),
        "-i",
        str(minute),
    ]
    command += ["-c", "copy", "-f", "segment", "-segment_time", "60", "-segment_format", "mp4"]
    command += ["-segment_format_options", _FRAGMENTED, str(directory / "cut%03d.mp4")]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    minute.unlink()
    return sorted(directory.glob("cut*.mp4"))


def record(archive: Archive, directory: Path, started_us: int) -> Hour:
    """Accepts the hour, which began at `started_us`, and keeps its plain files below `directory`."""
    key = enroll(archive, ROOM, "cli:0", 0)
    spool = Spool(directory / "spool", key, limit_bytes=_LIMIT_BYTES)
    chain, run, ingest = spool.chain("main"), new_id(), Ingest(archive)
    plain = LocalStore(directory / "plain")
    first_us: int | None = None
    for cut in make_files(directory):
        media = cut.read_bytes()
        cut.unlink()
        begins_us, ends_us = _pictures(media)
        first_us = begins_us if first_us is None else first_us
        shift_us = started_us - first_us
        path = Filler(chain, media, 1, run).add(begins_us + shift_us, ends_us + shift_us)
        _accept(ingest, key, path, len(media))
        with archive.database.reading() as session:
            newest = select(Segment.object_name).order_by(Segment.start_us.desc()).limit(1)
            writer = plain.writer(session.scalars(newest).one())
        writer.write(path.read_bytes())
        writer.commit()
        path.unlink()
    with archive.database.reading() as session:
        rows = segments(session, ROOM, Interval(started_us, started_us + 24 * 60 * US_PER_MINUTE))
    return Hour(
        Interval(rows[0].start_us, rows[-1].end_us),
        plain,
        tuple(plain.root / row.object_name for row in rows),
    )


def _pictures(media: bytes) -> tuple[int, int]:
    """When they begin and end on the timeline of the run, in microseconds."""
    video = read_index(lambda at, length: media[at : at + length], len(media)).video
    assert video is not None
    first, last = int(video.pts[0]), int(video.pts[-1]) + int(video.duration[-1])
    return first * US_PER_SECOND // video.timescale, last * US_PER_SECOND // video.timescale


def _accept(ingest: Ingest, key: AgentKey, path: Path, manifest_at: int) -> None:
    signed = read_manifest(path, manifest_at)
    at_us = signed.manifest.end_us + US_PER_SECOND
    begun = ingest.begin(key.room, key.token, signed.manifest.segment_id, signed.header, at_us)
    assert not isinstance(begun, Answer)
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            begun.write(piece)
    answer = begun.finish(at_us)
    assert answer.outcome == "accepted", answer
