"""Thumbnails and loudness without a decoder, for tests of what becomes of them."""

from __future__ import annotations

from archive import derive, derived
from archive.media.work import Answer, Thumbnail
from archive.models import Derived, Segment
from archive.system import Archive

SECOND = 1_000_000


def answering(question, look) -> Answer:
    """What a decoding program might answer: a few bytes for each keyframe asked for, one step of loudness."""
    look()
    pictures = question.pictures.samples if question.pictures else ()
    thumbnails = tuple(Thumbnail(each.at_us, b"\xff\xd8\xff picture \xff\xd9") for each in pictures)
    at_us = pictures[0].at_us if pictures else 0
    return Answer(thumbnails, at_us // SECOND * SECOND, (42,), 0)


def derive_now(archive: Archive, segment_id: str, now_us: int | None = None, **more) -> derive.Outcome:
    """As the job does, just after the segment was recorded unless `now_us` says when."""
    if now_us is None:
        with archive.database.reading() as session:
            now_us = session.get_one(Segment, segment_id).end_us + SECOND
    return derive.derive(archive, segment_id, now_us, **{"ask": answering, **more})


def object_of(archive: Archive, segment_id: str) -> str:
    with archive.database.reading() as session:
        return derived.name_of(session.get_one(Segment, segment_id).object_name)


def assert_thumbnails_go_with_their_segments(archive: Archive) -> None:
    """After a whole purge: none is left of a segment that is gone, and what a row names can be opened."""
    with archive.database.reading() as session:
        standing = {row.object_name: row.id for row in session.query(Segment)}
        made = {row.segment_id: row.loudness for row in session.query(Derived)}
    assert set(made) <= set(standing.values())
    owners = {derived.owner_of(name) for name in archive.store.names() if name.endswith(derived.SUFFIX)}
    assert owners <= set(standing)
    for name, segment_id in standing.items():
        if segment_id in made:
            loudness = derived.read(archive.store, name).loudness
            assert archive.store.index(derived.name_of(name), made[segment_id]) == loudness.to_bytes()


def rows(archive: Archive) -> set[str]:
    """The segments that have a row of thumbnails."""
    with archive.database.reading() as session:
        return {row.segment_id for row in session.query(Derived)}
