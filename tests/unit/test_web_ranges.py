from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from retrieval_api.ranges import select

ETAG = '"abc"'
SIZE = 1000


def chosen(size: int = SIZE, **headers: str) -> tuple[int, int, int]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = select(Headers(named), ETAG, size)
    return found.status, found.start, found.end


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", (206, 0, 1000)),
        ("bytes=0-0", (206, 0, 1)),
        ("bytes=500-999", (206, 500, 1000)),
        ("bytes=500-5000", (206, 500, 1000)),
        ("bytes=-1", (206, 999, 1000)),
        ("bytes=-5000", (206, 0, 1000)),
        ("Bytes= 10-19", (206, 10, 20)),
        ("bytes=1000-", (416, 0, 0)),
        ("bytes=-0", (416, 0, 0)),
        ("bytes=" + "9" * 100_000 + "-", (416, 0, 0)),
        ("bytes=5-" + "9" * 100_000, (206, 5, 1000)),
        # Not a byte range, or several: the whole, as the RFC allows.
        ("bytes=9-1", (200, 0, 1000)),
        ("bytes=-", (200, 0, 1000)),
        ("bytes=0-1,5-9", (200, 0, 1000)),
        ("items=0-1", (200, 0, 1000)),
        ("bytes=٠-٩", (200, 0, 1000)),
    ],
)
def test_range(header, expected) -> None:
    found = select(_Raw({"Range": header}), ETAG, SIZE)
    assert (found.status, found.start, found.end) == expected


class _Raw(dict[str, str]):
    """Headers that no client library would send."""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": ETAG}, 304),
        ({"If_None_Match": f'"x", W/{ETAG}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_Match": ETAG}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": f"W/{ETAG}"}, 412),
        ({"If_Match": '"x"'}, 412),
        ({"Range": "bytes=1-2", "If_Range": ETAG}, 206),
        ({"Range": "bytes=1-2", "If_Range": '"x"'}, 200),
        ({"Range": "bytes=1-2", "If_Range": f"W/{ETAG}"}, 200),
        ({"Range": "bytes=1-2", "If_Range": "Fri, 20 Nov 2026 10:00:00 GMT"}, 200),
        ({"Range": "bytes=1-2", "If_None_Match": ETAG}, 304),
    ],
)
def test_conditions(headers, status) -> None:
    assert chosen(**headers)[0] == status


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_part_lies_within_the_whole(size, first, last) -> None:
    status, start, end = chosen(size, Range=f"bytes={first}-{last}")
    assert status == (200 if last < first else 416 if first >= size else 206)
    if status == 206:
        assert (start, end) == (first, min(last + 1, size))


@given(st.text(max_size=60), st.integers(1, 10**6))
def test_no_header_breaks_it(header, size) -> None:
    found = select(_Raw({"Range": header}), ETAG, size)
    assert 0 <= found.start <= found.end <= size


def test_if_match_takes_a_weak_tag_for_another() -> None:
    assert chosen(If_Match=f'W/{ETAG}, "abc"')[0] == 200
