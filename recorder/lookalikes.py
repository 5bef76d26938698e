"""Cyrillic letters and the Latin letters that look like them: `228-А` and `228-A` are one room to a
person and two to a computer.
"""

from __future__ import annotations

import re
import unicodedata

# Pairs that print alike in capitals; room labels are written in capitals, look-ups in any case.
_CYRILLIC = "АВЕІКМНОРСТУХ"
_LATIN = "ABEIKMHOPCTYX"
_TO_LATIN = str.maketrans(_CYRILLIC.casefold(), _LATIN.casefold())
_LOOKS_CYRILLIC = dict(zip(_LATIN, _CYRILLIC, strict=True))
_HYPHENS = re.compile("[\u2010-\u2015\u2212]")
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """One key for whatever a person may type for the same label: case, look-alikes, dashes and blanks."""
    plain = _HYPHENS.sub("-", unicodedata.normalize("NFC", text)).casefold()
    return " ".join(plain.translate(_TO_LATIN).split())


def mixed_script(label: str) -> str | None:
    """What is wrong with the letters of a label, or None.

    Wrong is a word of both scripts (`конфеpенц` with a Latin p), and a word made only of Latin letters
    that pass for Cyrillic ones (`228-A`): on a door in Lviv the Cyrillic ones are meant.
    """
    for word in _WORD.findall(label):
        letters = [letter for letter in word if letter.isalpha()]
        latin = [letter for letter in letters if _script(letter) == "LATIN"]
        cyrillic = [letter for letter in letters if _script(letter) == "CYRILLIC"]
        if latin and cyrillic:
            strangers = latin if len(latin) <= len(cyrillic) else cyrillic
            return f"mixes Latin and Cyrillic letters in {word!r}: {_names(strangers)}; type it anew"
        if latin and all(letter.upper() in _LOOKS_CYRILLIC for letter in latin):
            meant = ", ".join(
                f"Cyrillic {_LOOKS_CYRILLIC[x.upper()]!r} (U+{ord(_LOOKS_CYRILLIC[x.upper()]):04X})"
                for x in dict.fromkeys(latin)
            )
            return f"has {_names(latin)} where {meant} is expected; type it on a Ukrainian keyboard"
    return None


def strangers_to_ascii(text: str) -> str:
    """The characters that are not ASCII, by name, for a message: `'а' (U+0430, Cyrillic)`."""
    return _names([each for each in text if not each.isascii()])


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split()[0]


def _names(letters: list[str]) -> str:
    return ", ".join(f"{_script(x).title()} {x!r} (U+{ord(x):04X})" for x in dict.fromkeys(letters))
