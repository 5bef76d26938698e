"""Registration numbers survive being typed, read out and mistyped."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from retrieval_api.requests.numbers import make_number, parse_number

_NUMBERS = st.builds(make_number, st.integers(2024, 2099), st.integers(1, 9_999_999))


def test_it_looks_like_this() -> None:
    assert make_number(2026, 123).startswith("2026-000123-")


@given(_NUMBERS)
def test_typed_as_people_type_it(number: str) -> None:
    digits = number.replace("-", "")
    for typed in (number, digits, f"  {number.replace('-', ' ')} ", number.replace("-", "–")):
        assert parse_number(typed) == number


@given(_NUMBERS, st.integers(0, 20), st.integers(0, 9))
def test_every_single_slip_is_found(number: str, place: int, digit: int) -> None:
    digits = list(number.replace("-", ""))
    place %= len(digits)
    assume(digits[place] != str(digit))
    digits[place] = str(digit)
    assert parse_number("".join(digits)) is None


@given(_NUMBERS, st.integers(0, 20))
def test_every_swap_of_neighbours_is_found(number: str, place: int) -> None:
    digits = list(number.replace("-", ""))
    place %= len(digits) - 1
    assume(digits[place] != digits[place + 1])
    digits[place], digits[place + 1] = digits[place + 1], digits[place]
    assert parse_number("".join(digits)) is None


@given(st.text(max_size=80))
def test_anything_else_is_no_number(text: str) -> None:
    found = parse_number(text)
    assert found is None or parse_number(found) == found


@pytest.mark.parametrize("text", ["", "2026", "٢٠٢٦-٠٠٠١٢٣-٤", "2026-000123-" + "9" * 1_000_000])
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None
