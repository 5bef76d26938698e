"""HTTP conditions and byte ranges (RFC 9110, sections 13 and 14) for one representation with a strong ETag.

Pure. Times are of no use here: the ETag alone decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.IGNORECASE | re.ASCII)
_FAR = "9" * 18
_TAGS = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Selection:
    """What to answer: the status, and the bytes `[start, end)` that go with 200 and 206."""

    status: Literal[200, 206, 304, 412, 416]
    start: int
    end: int


def select(headers: Mapping[str, str], etag: str, size: int) -> Selection:
    """`headers` are the request's (any mapping that ignores case); `etag` is strong, with its quotes.

    Several ranges at once, or what is no byte range, are answered with the whole, as the RFC allows.
    """
    whole = Selection(200, 0, size)
    match = headers.get("If-Match")
    if match is not None and match.strip() != "*" and etag not in _TAGS.findall(match):
        return Selection(412, 0, 0)
    unwanted = headers.get("If-None-Match")
    if unwanted is not None and (unwanted.strip() == "*" or etag in _weakly(unwanted)):
        return Selection(304, 0, 0)
    asked = headers.get("Range")
    # A clip that has changed since the first part was fetched must come whole: never a mix of two.
    if asked is None or headers.get("If-Range", etag).strip() != etag:
        return whole
    return _range(asked, size) or whole


def _weakly(header: str) -> list[str]:
    return [tag.removeprefix("W/") for tag in _TAGS.findall(header)]


def _range(header: str, size: int) -> Selection | None:
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    # Beyond any file: no need to make a number of a megabyte of digits.
    first, last = (each if len(each) <= len(_FAR) else _FAR for each in (first, last))
    if not first:
        length = min(int(last), size)
        return Selection(206, size - length, size) if length else Selection(416, 0, 0)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        return Selection(416, 0, 0)
    return Selection(206, start, min(int(last) + 1, size) if last else size)
