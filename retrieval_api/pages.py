"""Pages: one way to render a template in the reader's language, with what every page needs."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from archive.system import Archive
from recorder.instants import local_date
from recorder.rooms import RoomsFile
from retrieval_api.i18n import DEFAULT_LANGUAGE, LANGUAGES, Language, Localizer, as_language

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
LANGUAGE_COOKIE = "protokol_language"
_YEAR_SECONDS = 365 * 86_400
mimetypes.add_type("text/javascript", ".js")


def archive_of(request: Request) -> Archive:
    """The archive that this application serves."""
    return cast("Archive", request.app.state.archive)


def now_of(request: Request) -> int:
    """Now in UTC microseconds, by the application's clock."""
    return cast("int", request.app.state.clock())


# Coroutines: for an ordinary function a request would wait for a thread, twice.
async def _archive(request: Request) -> Archive:
    return archive_of(request)


async def _now(request: Request) -> int:
    return now_of(request)


ArchiveDep = Annotated[Archive, Depends(_archive)]
NowDep = Annotated[int, Depends(_now)]


def rooms_of(request: Request) -> RoomsFile:
    """Dependency: the rooms file in force."""
    archive = archive_of(request)
    with archive.database.reading() as session:
        return archive.configurations.current(session)[1]


def language_of(request: Request) -> Language:
    """`?lang=` wins, then the cookie; Ukrainian otherwise. What is no language of ours is ignored."""
    asked = as_language(request.query_params.get("lang"))
    return asked or as_language(request.cookies.get(LANGUAGE_COOKIE)) or DEFAULT_LANGUAGE


def localizer_of(request: Request) -> Localizer:
    """Dependency: texts, dates and numbers for this reader."""
    return localizer(language_of(request), rooms_of(request).council.timezone)


@lru_cache(maxsize=16)
def localizer(language: Language, zone: str) -> Localizer:
    return Localizer(language, zone)


@lru_cache(maxsize=16)
def _environment(language: Language, zone: str) -> Environment:
    """One per language, so that no template can meet the texts of another reader."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = localizer(language, zone)
    environment.install_gettext_translations(texts.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.policies["ext.i18n.trimmed"] = True
    environment.filters.update(dict(texts.filters()))
    return environment


def render(
    request: Request,
    template: str,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    knows_council: bool = True,
    **context: Any,
) -> Response:
    """The page in the reader's language. A language chosen in the address is remembered in a cookie.

    Every template sees: `request`, `language`, `languages` (code → address of this page in it),
    `council` (its name), `staff` (who is logged in, or None), `csrf`, `now_us`, `today`, and the
    filters of `Localizer`. Without `knows_council` the database is not asked: the page has no name of
    the council, and must show no time.
    """
    language, zone, name = language_of(request), "UTC", "Protokol"
    if knows_council:
        council = rooms_of(request).council
        zone, name = council.timezone, getattr(council.name, language)
    now_us = now_of(request)
    staff = getattr(request.state, "staff", None)
    everywhere = {
        "request": request,
        "language": language,
        "languages": {each: _address_in(request, each) for each in LANGUAGES},
        "council": name,
        "staff": staff,
        "csrf": staff.csrf if staff else "",
        "now_us": now_us,
        "today": local_date(now_us, zone),
    }
    html = _environment(language, zone).get_template(template).render({**everywhere, **context})
    response = HTMLResponse(html, status_code, headers=dict(headers or {}))
    # Pages are the reader's own or change by the minute; none of them belongs into a shared cache.
    response.headers.setdefault("Cache-Control", "no-store")
    if as_language(request.query_params.get("lang")):
        secure = archive_of(request).settings.secure_cookies
        response.set_cookie(
            LANGUAGE_COOKIE, language, max_age=_YEAR_SECONDS, samesite="lax", secure=secure, httponly=True
        )
    return response


def fragment(template: str, language: Language, zone: str, *, now_us: int, **context: Any) -> str:
    """A part of a page that is the same for many readers: it sees `now_us`, the filters, and what it is
    given, and nothing of any request.
    """
    return _environment(language, zone).get_template(template).render({"now_us": now_us, **context})


def own_staff_page(address: str) -> str:
    """Where a form leads on to: a page of ours for staff, never another site."""
    own = address.startswith("/staff/") and not address.startswith("/staff/login")
    return address if own and "\\" not in address and "\n" not in address else "/staff/board"


def today_of(request: Request) -> date:
    """The council's local date."""
    return local_date(now_of(request), rooms_of(request).council.timezone)


def _address_in(request: Request, language: Language) -> str:
    """This page's own address in another language; relative, so that no proxy's host name gets in."""
    return f"?{request.url.include_query_params(lang=language).query}"
