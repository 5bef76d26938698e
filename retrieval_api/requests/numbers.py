"""Registration numbers: `2026-000123-9`, digits and dashes only, so that they can be typed on any
keyboard and read out on the telephone. The last digit checks the others (Damm's algorithm: it finds
every single wrong digit and every swap of neighbours), so a slip is told apart from a wrong PIN.
"""

from __future__ import annotations

import re

# Damm, H. M. (2004): a totally anti-symmetric quasigroup of order 10.
_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)
_YEAR_DIGITS = 4
_SERIAL_DIGITS = 6
# Separators that people and their telephones put in: blanks, dots, slashes, every kind of dash.
_SEPARATORS = re.compile(r"[\s./\u2010-\u2015\u2212-]+")


def check_digit(digits: str) -> int:
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][int(digit)]
    return interim


def make_number(year: int, serial: int) -> str:
    """`serial` counts from 1; beyond 999 999 the number grows by a digit and stays unique."""
    if serial < 1:
        raise ValueError("serial counts from 1")
    digits = f"{year:0{_YEAR_DIGITS}d}{serial:0{_SERIAL_DIGITS}d}"
    return f"{digits[:_YEAR_DIGITS]}-{digits[_YEAR_DIGITS:]}-{check_digit(digits)}"


def parse_number(text: str) -> str | None:
    """The canonical form of a typed number, or None when it cannot be one (a slip of the finger)."""
    digits = _SEPARATORS.sub("", text[:64])
    if not (digits.isascii() and digits.isdigit()) or len(digits) < _YEAR_DIGITS + _SERIAL_DIGITS + 1:
        return None
    if len(digits) > 15 or check_digit(digits) != 0:
        return None
    return f"{digits[:_YEAR_DIGITS]}-{digits[_YEAR_DIGITS:-1]}-{digits[-1]}"
