"""The council server's one web application: ingest for agents, API for staff's programs, pages for people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from archive.system import Archive
from recorder.instants import now_us
from retrieval_api import assets, clip_problems, database_problems, problems, store_problems
from retrieval_api.admission import Admission
from retrieval_api.day_viewings import DayViewings
from retrieval_api.middleware import BodyLimit, SecurityHeaders
from retrieval_api.public_figures import PublicFigures
from retrieval_api.room_pictures import RoomPictures
from retrieval_api.routes import (
    board,
    calibrate,
    checkpoints,
    clips,
    custody,
    day,
    day_hls,
    derived,
    extension,
    figures,
    ground,
    health,
    holds,
    ingest,
    jobs,
    marks,
    metrics,
    month,
    notice,
    quarantine,
    requests_api,
    resident,
    review,
    room_look,
    rooms,
    staff_login,
)

_ROUTES = (
    ingest,
    health,
    metrics,
    rooms,
    clips,
    day_hls,
    derived,
    marks,
    requests_api,
    staff_login,
    board,
    room_look,
    calibrate,
    day,
    month,
    ground,
    extension,
    holds,
    custody,
    checkpoints,
    figures,
    jobs,
    notice,
    quarantine,
    resident,
    review,
)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await run_in_threadpool(app.state.day_viewings.close)


def create_app(archive: Archive, clock: Callable[[], int] = now_us) -> FastAPI:
    """The application over an open archive. `clock` gives now in UTC microseconds.

    Routes are plain functions, so that the framework runs them in its thread pool: the database and
    the store block.
    """
    app = FastAPI(
        title="Protokol",
        version=version("protokol"),
        description="Recordings of a city hall's meeting rooms: found, watched, requested, released.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.archive = archive
    app.state.clock = clock
    app.state.admission = Admission()
    app.state.pictures = RoomPictures()
    app.state.live_board = board.live_board(archive, app.state.pictures, clock)
    app.state.public_figures = PublicFigures(archive, clock)
    app.state.day_viewings = DayViewings(archive)
    problems.install(app)
    database_problems.install(app)
    clip_problems.install()
    store_problems.install()
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    assets.mount(app)
    for module in _ROUTES:
        app.include_router(module.router)
    return app
