"""Form fields as a browser sends them: bounded, decoded strictly, nothing lost on the way.

Only `application/x-www-form-urlencoded` is read: no page of ours uploads files, and the multipart
parser would keep parts on disk.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from retrieval_api.problems import Problem

MAX_FIELDS = 200
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DROPPED = {code: None for code in (*range(32), 127) if chr(code) not in "\n\t"}
_URLENCODED = "application/x-www-form-urlencoded"


async def form_fields(request: Request) -> dict[str, str]:
    r"""Dependency: field → text, the last value of each name; empty for safe methods.

    Line ends become `\n`; control characters, which no person types, are dropped. Lengths are the
    business of the route, so that it can show the form again with everything in it.
    """
    if request.method not in _UNSAFE:
        return {}
    kind = request.headers.get("Content-Type", _URLENCODED).split(";")[0].strip().lower()
    if kind != _URLENCODED:
        raise Problem(415, "unsupported_form", f"send the form as {_URLENCODED}, not {kind[:60]}")
    body = await request.body()
    # A form of several megabytes takes tens of milliseconds: not in the event loop.
    return await run_in_threadpool(_parse, body)


Form = Annotated[dict[str, str], Depends(form_fields)]


def _parse(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise Problem(400, "malformed_form", f"the form cannot be read: {error}") from error
    return {name: _clean(value) for name, value in pairs}


def _clean(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n").translate(_DROPPED)
