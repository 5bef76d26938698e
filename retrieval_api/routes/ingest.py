"""What room agents call: segments, gap records, heartbeats. Bearer token and signed manifest."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from archive import enrolment
from archive.configuration import is_settled
from archive.database import DatabaseError
from archive.disk_errors import DatabaseFullError
from archive.ingest import BadSegmentIdError, Ingest
from archive.inserting import insert_or_replace
from archive.models import Hold, RoomStatus
from archive.store import StoreAwayError, StoreFullError
from archive.system import Archive
from archive.upload import MAX_BODY_BYTES, Answer, DigestMismatchError, Upload
from recorder.errors import ProtokolError, UnknownRoomError
from recorder.instants import now_us
from recorder.working_hours import window_at
from retrieval_api.admission import MAX_SILENCE_S, Admission, Refusal, too_slow
from retrieval_api.problems import Problem, translate
from retrieval_api.room_pictures import PictureTold, RoomPictures

router = APIRouter(prefix="/ingest/v1", tags=["agents"])
_log = structlog.get_logger()

# Written in pieces of this size: fewer hops to the thread pool, bounded memory per agent.
_PIECE_BYTES = 1 << 20
_MAX_STATUS_BYTES = 32 * 1024

translate(enrolment.NotEnrolledError, lambda error: Problem(401, "not_enrolled", str(error)))
# An agent tells this one from the rest: it looks at its own file before it sends again.
translate(DigestMismatchError, lambda error: Problem(422, "digest_mismatch", str(error)))
translate(BadSegmentIdError, lambda error: Problem(422, "bad_segment_id", str(error)))
translate(StoreFullError, lambda error: Problem(507, "store_full", str(error)))
translate(DatabaseFullError, lambda error: Problem(507, "store_full", str(error)))


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise enrolment.NotEnrolledError("send the agent's token as: Authorization: Bearer TOKEN")
    return token


@router.put("/rooms/{room}/segments/{segment_id}")
async def put_segment(
    request: Request,
    room: str,
    segment_id: str,
    protokol_manifest: Annotated[str, Header()],
    authorization: Annotated[str, Header()] = "",
    protokol_damaged: Annotated[str, Header()] = "",
) -> JSONResponse:
    """One segment (body: the file) or gap record (no body). Answers only what is durable."""
    archive: Archive = request.app.state.archive
    admission: Admission = request.app.state.admission
    stated = request.headers.get("content-length", "0")
    if not stated.isdecimal() or len(stated) > 15 or int(stated) > MAX_BODY_BYTES:
        raise _too_large()
    token = _token(authorization)
    body = _Body(request)
    async with body.heard_out():
        refusal = await run_in_threadpool(_admit, archive, admission, room, token)
    if refusal is not None:
        await body.drain()
        raise Problem(429, "too_many", refusal.reason, headers={"Retry-After": str(refusal.wait_s)})
    try:
        damaged = protokol_damaged == "true"
        async with body.heard_out():
            begun = await run_in_threadpool(
                Ingest(archive).begin, room, token, segment_id, protokol_manifest, now_us(), damaged=damaged
            )
        if isinstance(begun, Answer):
            await body.drain()
            answer = begun
        else:
            answer = await _receive(body, begun)
    finally:
        admission.leave(room, body.received)
    return JSONResponse(
        {"outcome": answer.outcome, "reason": answer.reason},
        201 if answer.outcome == "accepted" and not answer.again else 200,
    )


def _admit(archive: Archive, admission: Admission, room: str, token: str) -> Refusal | None:
    """Raises NotEnrolledError: a stranger spends nothing of the room's."""
    with archive.database.reading() as session:
        agent = enrolment.authenticate(session, room, token)
    return admission.enter(agent.room, now_us())


def _too_large() -> Problem:
    detail = f"a body has at most {MAX_BODY_BYTES} bytes"
    return Problem(413, "too_large", detail, headers={"Connection": "close"})


class _Body:
    """What the agent sends, within bounds of size and time: a dribble holds neither thread nor object."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.received = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises Problem for a body that is too long or too slow; the connection ends with it."""
        began_s, stream = time.monotonic(), aiter(self._request.stream())
        while True:
            try:
                async with asyncio.timeout(MAX_SILENCE_S):
                    chunk = await anext(stream, None)
            except TimeoutError:
                chunk, slow = b"", True
            else:
                slow = False
            if chunk is None:
                return
            self.received += len(chunk)
            if slow or too_slow(self.received, time.monotonic() - began_s):
                detail = f"{self.received} bytes arrived in {time.monotonic() - began_s:.0f} s: too slow"
                raise Problem(408, "too_slow", detail, headers={"Connection": "close"})
            if self.received > MAX_BODY_BYTES:
                raise _too_large()
            yield chunk

    async def drain(self) -> None:
        """Read what comes anyway. An agent sends without waiting for leave: an answer before the end of its
        body reads as a broken connection.
        """
        async for _ in self.pieces():
            pass

    @contextlib.asynccontextmanager
    async def heard_out(self) -> AsyncIterator[None]:
        """Around what comes before the body: an agent must see what is away, and until when."""
        try:
            yield
        except (SQLAlchemyError, DatabaseError, StoreAwayError):
            await self.drain()
            raise


async def _receive(body: _Body, upload: Upload) -> Answer:
    pieces: list[bytes] = []
    size = 0
    try:
        async for chunk in body.pieces():
            pieces.append(chunk)
            size += len(chunk)
            if size >= _PIECE_BYTES:
                await run_in_threadpool(upload.write, b"".join(pieces))
                pieces, size = [], 0
        await run_in_threadpool(upload.write, b"".join(pieces))
        return await run_in_threadpool(upload.finish, now_us())
    except BaseException:
        # Cancelled, cut off or refused alike: no temporary object stays behind.
        await run_in_threadpool(upload.abort)
        raise


class RoomConditionTold(BaseModel):
    condition: Annotated[str, Field(pattern="^[a-z_]{1,32}$")]
    source: Annotated[str, Field(max_length=32)]
    since_us: Annotated[int, Field(ge=0, lt=2**53)]
    detail: Annotated[str, Field(max_length=200)]


class RoomHealthTold(BaseModel):
    """`recorder.capture.health` says what else is in it; that is kept as it comes."""

    model_config = ConfigDict(extra="allow")

    conditions: Annotated[list[RoomConditionTold], Field(max_length=64)] = []


class Heartbeat(BaseModel):
    """The agent's own account of itself; kept as it came, the last one only.

    What the board of all rooms reads is checked: one agent must not be able to break it.
    """

    model_config = ConfigDict(extra="allow")

    agent_version: Annotated[str, Field(max_length=32)]
    at_us: int
    state: Annotated[str, Field(pattern="^(recording|closed|fault)$")]
    since_us: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    cause: Annotated[str, Field(max_length=64)] | None = None
    detail: str | None = None
    health: RoomHealthTold | None = None
    # Never kept with the rest: memory is the only place for them.
    pictures: Annotated[
        dict[Annotated[str, Field(max_length=32)], PictureTold], Field(max_length=16, exclude=True)
    ] = {}


@router.post("/rooms/{room}/heartbeat")
def heartbeat(
    request: Request, room: str, beat: Heartbeat, authorization: Annotated[str, Header()] = ""
) -> JSONResponse:
    """Takes the room's state; answers the signed configuration, the held intervals, and for how long clear
    pictures are wanted.
    """
    archive: Archive = request.app.state.archive
    pictures: RoomPictures = request.app.state.pictures
    at_us = now_us()
    try:
        status = json.dumps(beat.model_dump(mode="json"))
    except (ValueError, RecursionError) as error:
        raise Problem(422, "invalid_input", "the heartbeat nests too deeply, or is not to be kept") from error
    if len(status) > _MAX_STATUS_BYTES:
        raise Problem(413, "status_too_large", f"a heartbeat has at most {_MAX_STATUS_BYTES} bytes")
    token = _token(authorization)
    try:
        if is_settled(archive.settings.rooms, at_us):
            archive.sync_rooms_file(at_us)
    except ProtokolError as error:
        # The version in force stays; the file's error is for whoever edits it.
        _log.error("rooms_file_refused", error=str(error))
    with archive.database.transaction() as session:
        agent = enrolment.authenticate(session, room, token)
        insert_or_replace(session, RoomStatus(room=agent.room, received_us=at_us, status=status))
        configuration = archive.configurations.signed(session, agent.room, at_us)
        held = _held(session, agent.room)
        closes_us = _closes_us(session, archive, agent.room, at_us) if beat.pictures else None
    pictures.take(agent.room, beat.pictures, closes_us, at_us)
    return JSONResponse(
        {
            "configuration": configuration.configuration,
            "signature": configuration.signature,
            "held": held,
            "pictures": {"clear_s": pictures.clear_s(agent.room, at_us)},
            "server_us": at_us,
        }
    )


def _closes_us(session: Session, archive: Archive, room: str, at_us: int) -> int | None:
    """The end of the room's recording window, None outside, and for a room that has left the rooms file."""
    try:
        window = window_at(archive.configurations.room(session, room), at_us)
    except UnknownRoomError:
        return None
    return window.end_us if window else None


def _held(session: Session, room: str) -> list[list[int]]:
    holds = session.scalars(select(Hold).where(Hold.room == room, Hold.released_us.is_(None)))
    return [[hold.start_us, hold.end_us] for hold in holds]
