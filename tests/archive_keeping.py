"""What keeps footage past its due day, on a real archive and its model: holds by hand, and requests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from archive.models import Hold, Request
from archive.system import Archive
from recorder.intervals import Interval
from retention import holds
from retention.errors import DayGoneError, HoldError
from retrieval_api.requests.decision import Basis, DecisionError, Desk, Seen
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.registration import Registrar
from retrieval_api.requests.states import IllegalTransition
from tests.archive_model import Held, Span
from tests.archive_pair import Pair
from tests.requesting import application

STAFF = "user:3"


class Keeping:
    """Each step happens to both of the pair, and they must agree. `requests`: what was asked, by number."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._rooms, self._model, self._seen = pair.rooms, pair.model, pair.seen
        self.requests: dict[str, Span] = {}

    @property
    def _archive(self) -> Archive:
        """Another one after each death."""
        return self._pair.archive

    # --- by hand

    def hold(self, room: str, span: Span, now_us: int) -> None:
        order = holds.HoldOrder(room, Interval(*span), "a complaint", "court order 1", STAFF)
        wanted = self._model.keepable(room, span, now_us)
        try:
            with self._archive.database.transaction() as session:
                placed = holds.place(session, self._archive, [order], now_us)
        except DayGoneError:
            assert wanted == []
            self._seen["day gone"] += 1
            return
        assert [Span(hold.start_us, hold.end_us) for hold in placed] == wanted
        for hold in placed:
            self._model.holds[hold.id] = Held(hold.id, room, Span(hold.start_us, hold.end_us))
        self._seen["held"] += 1

    def release(self, hold_id: int, now_us: int) -> None:
        """By hand, as the command does it: refused while a request stands behind the hold (invariant 7)."""
        held = self._model.holds[hold_id]
        try:
            with self._archive.database.transaction() as session:
                holds.require_decided(session, self._archive, hold_id, now_us)
                holds.release(session, self._archive, hold_id, actor=STAFF, reason="done", now_us=now_us)
        except HoldError:
            assert held.request is not None
            assert not self._may_end(held.request, now_us)
            self._seen["release refused"] += 1
            return
        assert held.request is None or self._may_end(held.request, now_us)
        del self._model.holds[hold_id]
        self._seen["released"] += 1

    # --- requests

    def register(self, room: str | None, remembered: Any, interval: Interval, now_us: int) -> str | None:
        """What the resident saw a number for is held, whole, in every room that it may be about."""
        asked = application(room=room, remembered=remembered, interval=interval)
        span = Span(interval.start_us, interval.end_us)
        rooms = [room] if room else list(self._rooms)
        wanted = {each: self._model.keepable(each, span, now_us) for each in rooms}
        registrar = Registrar(self._archive, RequestSecrets.of(self._archive.server_key))
        try:
            number = registrar.register(asked, "127.0.0.1", now_us).number
        except DayGoneError:
            assert not all(wanted.values())
            self._seen["request too late"] += 1
            return None
        assert self._adopt_holds(number) == {
            (each, piece) for each, pieces in wanted.items() for piece in pieces
        }
        self.requests[number] = span
        self._seen["registered"] += 1
        return number

    def decide(self, number: str, step: str, now_us: int) -> None:
        """One step of staff or resident; a step that the request's state forbids changes nothing."""
        desk, asked = Desk(self._archive), self.requests[number]
        before = self.holds_of(number)
        room = before[0].room if before else self._rooms[0]
        try:
            if step == "approve":
                self._approve(desk, number, room, asked, now_us)
            elif step == "refuse":
                desk.refuse(number, "not at that meeting", STAFF, now_us)
            elif step == "withdraw":
                desk.withdraw(number, now_us)
            elif step == "reopen":
                desk.reopen(number, "an appeal", STAFF, now_us)
            else:
                may_end = self._may_end(number, now_us)
                desk.close(number, "the appeal period is over", STAFF, now_us)
                assert may_end
                for hold in before:
                    del self._model.holds[hold.id]
        except (IllegalTransition, DecisionError, DayGoneError) as error:
            self._seen[f"{step} refused"] += 1
            self._seen["appeal running"] += getattr(error, "code", "") == "appeal_running"
            self._adopt_holds(number)
            return
        self._seen[step] += 1

    def _approve(self, desk: Desk, number: str, room: str, asked: Span, now_us: int) -> None:
        """Half an hour of what was asked; the rest of the request's holds is let go by that decision."""
        approved = Interval(asked.start_us, min(asked.end_us, asked.start_us + 1800 * 10**6))
        desk.match(number, room, STAFF, now_us)
        desk.set_interval(number, approved, STAFF, now_us)
        desk.record_identity(number, Basis.DOCUMENT, "паспорт", STAFF, now_us)
        covered = {hold.span for hold in self.holds_of(number) if hold.room == room}
        desk.approve(number, Seen(room, approved), STAFF, now_us)
        kept = self._adopt_holds(number)
        assert all(each == room for each, _ in kept)
        assert {
            Span(max(span.start_us, approved.start_us), min(span.end_us, approved.end_us))
            for span in covered
            if span.meets(Span(approved.start_us, approved.end_us))
        } <= {span for _, span in kept}

    def _may_end(self, number: str, now_us: int) -> bool:
        """Invariant 7: decided, and the appeal period of a refusal over."""
        with self._archive.database.reading() as session:
            request = session.scalars(select(Request).where(Request.number == number)).one()
        over = request.appeal_until_us is None or now_us >= request.appeal_until_us
        return request.status in {"decided", "withdrawn"} and over

    def holds_of(self, number: str) -> list[Held]:
        return [hold for hold in self._model.holds.values() if hold.request == number]

    def _adopt_holds(self, number: str) -> set[tuple[str, Span]]:
        """The request's holds in force become the model's."""
        for hold in self.holds_of(number):
            del self._model.holds[hold.id]
        with self._archive.database.reading() as session:
            statement = select(Hold).join(Request, Request.id == Hold.request_id)
            rows = session.scalars(
                statement.where(Request.number == number, Hold.released_us.is_(None))
            ).all()
        for row in rows:
            self._model.holds[row.id] = Held(row.id, row.room, Span(row.start_us, row.end_us), number)
        return {(row.room, Span(row.start_us, row.end_us)) for row in rows}
