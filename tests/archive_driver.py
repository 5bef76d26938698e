"""Drives a real archive and its model side by side: each action happens to both, and they must agree.

Used by tests that walk through states at random.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import select

from archive import door
from archive.ingest import Ingest
from archive.models import (
    Gap,
    Quarantine,
    RoomDay,
    Segment,
)
from archive.system import Archive
from archive.upload import Answer, Upload
from recorder.instants import US_PER_SECOND
from recorder.intervals import Interval
from recorder.manifest import SignedManifest
from retention import holds, purge
from retention.errors import ConfirmationError
from tests import archive_truths as truths
from tests.archive_keeping import Keeping
from tests.archive_model import Item, Span, date_of, whole_day
from tests.archive_pair import Pair
from tests.dying import Killed
from tests.footage import tiny_media
from tests.thumbnails import derive_now

STAFF = "user:3"


class Driver(Pair):
    """What agents, purges and readers do; `keeping` is what staff and residents keep from destruction."""

    def __init__(self, archive: Archive, rooms: Sequence[str]) -> None:
        super().__init__(archive, rooms)
        self.keeping = Keeping(self)
        self.sent: list[tuple[Item, SignedManifest, bytes]] = []
        self.strays: dict[str, Item] = {}
        self.underived: set[str] = set()

    # --- accept

    def record(self, room: str, span: Span) -> tuple[Item, SignedManifest, bytes]:
        """A segment of the room's agent, signed and on its chain, not sent yet."""
        body = tiny_media((span.end_us - span.start_us) // US_PER_SECOND)
        signed, file = self.agents[room].segment(span.start_us, body=body, end_us=span.end_us)
        made = Item("segment", signed.manifest.segment_id, room, span), signed, file
        self.sent.append(made)
        return made

    def begin(self, made: tuple[Item, SignedManifest, bytes], now_us: int, *, damaged: bool = False):
        """As far as the last byte of the body, or to the answer that needs none."""
        item, signed, file = made
        agent = self.agents[item.room]
        begun = Ingest(self.archive).begin(
            item.room, agent.key.token, item.id, signed.header, now_us, damaged=damaged
        )
        if isinstance(begun, Upload):
            begun.write(file)
        return begun

    def end(self, made: tuple[Item, SignedManifest, bytes], begun: Upload | Answer, now_us: int) -> None:
        """The answer must be the model's."""
        item = made[0]
        was_linked = item.id in self.model.items or (item.kind, item.id) in self.model.destroyed
        expected = "accepted" if was_linked or self.model.may_take_in(item, now_us) else "expired"
        answer = begun if isinstance(begun, Answer) else begun.finish(now_us)
        assert answer.outcome == expected, (answer, item)
        self.seen[f"{answer.outcome}{' again' if answer.again else ''}"] += 1
        # Whatever the answer was, an object that a dead process left under this name is settled.
        if not isinstance(begun, Answer):
            self.strays.pop(item.id, None)
        if expected == "accepted" and not was_linked:
            self.model.items[item.id] = item

    def send(self, made: tuple[Item, SignedManifest, bytes], now_us: int) -> None:
        self.end(made, self.begin(made, now_us), now_us)

    def die_in_upload(self, made: tuple[Item, SignedManifest, bytes], now_us: int) -> None:
        """Between the rename of the object and its row: the object is known to nobody."""
        item = made[0]
        if self.with_dying_store(lambda: self.end(made, self.begin(made, now_us), now_us)):
            self.strays[item.id] = item
            self.seen["died in an upload"] += 1

    def refuse(self, made: tuple[Item, SignedManifest, bytes], now_us: int) -> None:
        """The agent says that the file is damaged: kept in quarantine, as footage of its day."""
        item = made[0]
        begun = self.begin(made, now_us, damaged=True)
        if not isinstance(begun, Upload):
            self.end(made, begun, now_us)
            return
        assert begun.finish(now_us).outcome == "quarantined"
        self.seen["quarantined"] += 1
        self.model.items[f"q-{item.id}"] = dataclasses.replace(item, kind="quarantine", id=f"q-{item.id}")

    def gap(self, room: str, span: Span, now_us: int) -> None:
        signed = self.agents[room].gap(span.start_us, span.end_us)
        item = Item("gap", signed.manifest.segment_id, room, span)
        expected = "accepted" if self.model.may_take_in(item, now_us) else "expired"
        assert self.agents[room].send(signed, b"", now_us).outcome == expected
        if expected == "accepted":
            self.model.items[item.id] = item
            self.seen["gap"] += 1

    # --- thumbnails

    def derive(self, which: int, now_us: int, step: str | None) -> bool:
        """Thumbnails of one of the segments that stand, as its job makes them; killed when `step` is reached,
        the job is tried again at the end of all. Whether it was killed, and the archive with it.
        """
        standing = sorted(item.id for item in self.model.items.values() if item.kind == "segment")
        if not standing:
            return False

        def fault(name: str) -> None:
            if name == step:
                raise Killed

        segment = standing[which % len(standing)]
        died = self.dying(lambda: self.seen.update([derive_now(self.archive, segment, now_us, fault=fault)]))
        if died:
            self.seen[f"died at {step} of thumbnails"] += 1
            self.underived.add(segment)
        return died

    def derive_what_died(self, now_us: int) -> None:
        for segment in self.underived:
            derive_now(self.archive, segment, now_us)

    # --- purge

    def purge(self, now_us: int, *, certified: bool = True) -> None:
        """A run that is let finish: afterwards nothing overdue is left, nowhere, and all is certified.

        `certified`: every certificate there ever was is read; else only that none is owed.
        """
        self._run(now_us, purge.no_fault)
        if any(now_us >= item.due_us for item in self.strays.values()):
            # The day of an upload that died may have no room-day: the first run makes it, the second purges.
            self._run(now_us, purge.no_fault)
        gone = self.model.forget(self._take_stock(now_us), now_us)
        assert self.model.overdue(now_us) == []
        self.seen["destroyed"] += bool(gone)
        self.seen["kept past due"] += any(now_us >= item.due_us for item in self.model.items.values())
        self._settle_strays(now_us)
        truths.finished(self.archive, set(self.strays))
        if certified:
            truths.certified(self.archive, self.model.destroyed)

    def die_in_purge(self, now_us: int, step: str, nth: int) -> None:
        """Killed when `step` is reached for the nth time, or while objects are being unlinked."""
        reached = 0

        def fault(name: str) -> None:
            nonlocal reached
            reached += name == step
            if name == step and reached == nth:
                raise Killed

        if step == "half_unlinked":
            died = self.with_dying_store(lambda: self._run(now_us, purge.no_fault))
        else:
            died = self.dying(lambda: self._run(now_us, fault))
        if died:
            self.seen[f"died at {step}"] += 1
        stored = self._take_stock(now_us)
        self.model.forget(stored, now_us)

    def _run(self, now_us: int, fault: purge.Fault) -> None:
        confirm = purge.plan(self.archive, now_us).digest
        try:
            report = purge.run(self.archive, actor="system", now_us=now_us, confirm=confirm, fault=fault)
        except ConfirmationError:
            # What a killed run left was finished first, and that changed the plan.
            confirm = purge.plan(self.archive, now_us).digest
            report = purge.run(self.archive, actor="system", now_us=now_us, confirm=confirm, fault=fault)
        assert report.failures == []

    def _take_stock(self, now_us: int) -> set[str]:
        """The ids of all rows; the purged room-days become the model's."""
        with self.archive.database.reading() as session:
            stored = set(session.scalars(select(Segment.id))) | set(session.scalars(select(Gap.id)))
            stored |= {f"q-{claimed}" for claimed in session.scalars(select(Quarantine.claimed_id))}
            days = session.execute(
                select(RoomDay.room, RoomDay.date, RoomDay.due_us).where(RoomDay.state == "purged")
            ).all()
        for room, day, due in days:
            assert (room, day) in self.model.purged or due <= now_us
            self.model.purged.add((room, day))
        return stored

    def _settle_strays(self, now_us: int) -> None:
        names = "\n".join(self.archive.store.names())
        for key, item in list(self.strays.items()):
            held = self.model.keepers(item.room, whole_day(date_of(item.span.start_us)))
            if now_us >= item.due_us and not held:
                assert key not in names, "an object that no row names outlived its day"
            if key not in names:
                assert now_us >= item.due_us
                del self.strays[key]
                self.seen["stray destroyed"] += 1

    # --- what must be true

    def assert_index(self, now_us: int) -> None:
        """Rows and holds are the model's, at any time."""
        assert self._take_stock(now_us) == set(self.model.items)
        with self.archive.database.reading() as session:
            rows = {(row.id, row.room, Span(row.start_us, row.end_us)) for row in holds.active(session)}
        assert rows == {(hold.id, hold.room, hold.span) for hold in self.model.holds.values()}

    def open(self, room: str, span: Span, ground: str, now_us: int) -> None:
        """The door gives exactly what the model lets out on this ground, and its bytes are there."""
        purpose = self._purpose(ground)
        expected = {
            item.id
            for item in self.model.items.values()
            if item.kind == "segment" and item.room == room and item.span.meets(span)
            and self.model.may_open(item, now_us, purpose)
        }  # fmt: skip
        try:
            with self.archive.database.reading() as session:
                pieces = door.resolve(
                    session,
                    self.archive.configurations,
                    self.archive.store,
                    room,
                    Interval(*span),
                    door.Ground.parse(ground),
                    now_us,
                )
        except door.NoFootageError as error:
            pieces = []
            self.seen[f"door: {error.code}"] += 1
        assert {piece.name.split("/")[-1][:36] for piece in pieces} == expected
        for piece in pieces:
            reader = self.archive.store.open(piece.name)
            media = tiny_media((piece.end_us - piece.start_us) // US_PER_SECOND)
            assert reader.pread(0, len(media)) == media
            reader.close()
        self.seen[f"opened: {ground.partition(':')[0]}"] += bool(pieces)
        self.seen["opened past due"] += any(now_us >= self.model.items[each].due_us for each in expected)

    def _purpose(self, ground: str) -> list[int]:
        kind, _, reference = ground.partition(":")
        if kind == "hold":
            return [int(reference)]
        return [hold.id for hold in self.keeping.holds_of(reference)] if kind == "request" else []
