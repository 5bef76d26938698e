from __future__ import annotations

import ast
import re
from datetime import date
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

import retrieval_api
from recorder.instants import US_PER_SECOND, parse_instant
from retrieval_api.i18n import (
    DEFAULT_LANGUAGE,
    LANGUAGES,
    Localizer,
    as_language,
    catalog_files,
    translations,
)

PACKAGE = Path(retrieval_api.__file__).parent
KEYWORDS = {"_": None, "gettext": None, "N_": None, "ngettext": (1, 2)}
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
CYRILLIC = re.compile("[А-Яа-яІіЇїЄєҐґ]")
# What is said of things that are counted in words before it: «один готовий», «два готові», «п'ять готові».
# And a neuter noun: «одне завдання», «два завдання», «п'ять завдань».
TWO_FORMS = {
    "%(num)s з %(total)s готовий",
    "%(num)s не готовий",
    "%(num)s не записує",
    "%(num)s завдання не виконано: %(what)s.",
}
AT_US = parse_instant("2026-11-20T14:05:09+02:00")


def messages() -> dict[str | tuple[str, str], str]:
    """Every message id of code and templates → where it stands."""
    found = {}
    options = {"templates/**.html": {"newstyle_gettext": "true", "trimmed": "true"}}
    method_map = [("**.py", "python"), ("templates/**.html", "jinja2")]
    for file, line, message, _, _ in extract_from_dir(
        PACKAGE, method_map, options, keywords=KEYWORDS, comment_tags=()
    ):
        found[message] = f"{file}:{line}"
    return found


@pytest.fixture(scope="module")
def extracted():
    return messages()


def test_something_is_extracted_from_code_and_templates(extracted) -> None:
    places = set(extracted.values())
    assert any(".py:" in place for place in places)
    assert any(".html:" in place for place in places)


def test_english_is_complete(extracted) -> None:
    english = translations("en")
    missing = []
    for message, place in extracted.items():
        single = message if isinstance(message, str) else message[0]
        told = english.gettext(single) if isinstance(message, str) else english.ngettext(*message, 1)
        if CYRILLIC.search(told) or (told == single and CYRILLIC.search(single)):
            missing.append(f"{place}: {single}")
    assert not missing, "\n".join(missing)


def test_ukrainian_plurals_have_three_forms(extracted) -> None:
    ukrainian = translations("uk")
    missing = []
    for message, place in extracted.items():
        if not isinstance(message, str):
            forms = {ukrainian.ngettext(*message, count) for count in (1, 2, 5)}
            if len(forms) < (2 if message[0] in TWO_FORMS else 3):
                missing.append(f"{place}: {message[0]}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogs_keep_placeholders_and_agree_with_each_other(language) -> None:
    seen: dict[object, tuple[object, str]] = {}
    for path in catalog_files(language):
        with path.open("rb") as opened:
            for message in read_po(opened, locale=language, abort_invalid=True):
                if not message.id:
                    continue
                ids = message.id if isinstance(message.id, tuple | list) else (message.id,)
                texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
                names = {name for each in ids for name in PLACEHOLDER.findall(each)}
                for text in texts:
                    assert text, f"{path.name}: {ids[0]!r} has no translation"
                    assert set(PLACEHOLDER.findall(text)) <= names, f"{path.name}: {ids[0]!r}"
                before = seen.setdefault(str(ids), (texts, path.name))
                assert before[0] == texts, f"{ids[0]!r} differs between {before[1]} and {path.name}"


def test_catalogs_hold_nothing_that_is_used_nowhere(extracted) -> None:
    used = {message if isinstance(message, str) else message[0] for message in extracted}
    stale = []
    for path in catalog_files("en"):
        with path.open("rb") as opened:
            for message in read_po(opened, locale="en"):
                single = message.id if isinstance(message.id, str) else message.id[0]
                if single and single not in used:
                    stale.append(f"{path.name}: {single}")
    assert not stale, "\n".join(stale)


def test_templates_hold_no_untranslated_text() -> None:
    """Ukrainian outside a translated string is Ukrainian for English readers too."""
    strays = []
    for path in sorted((PACKAGE / "templates").rglob("*.html")):
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", path.read_text("utf-8"), flags=re.DOTALL)
        for number, line in enumerate(text.splitlines(), 1):
            if CYRILLIC.search(line):
                strays.append(f"{path.name}:{number}: {line.strip()}")
    assert not strays, "\n".join(strays)


def test_code_holds_no_unmarked_ukrainian() -> None:
    """A Ukrainian literal outside N_(), _() and their like would never be translated."""
    allowed = {"i18n.py"}
    strays = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in allowed:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        marked = {
            id(argument)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and _name(call.func) in KEYWORDS
            for argument in call.args
        }
        documentation = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        strays += [
            f"{path.name}:{node.lineno}: {node.value[:60]}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and CYRILLIC.search(node.value)
            and len(node.value) > 2
            and id(node) not in marked | documentation
        ]
    assert not strays, "\n".join(strays)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def test_dates_times_and_numbers() -> None:
    uk, en = Localizer("uk"), Localizer("en")
    assert uk.date(AT_US) == en.date(AT_US) == "20.11.2026"
    assert uk.date(date(2026, 3, 1)) == "01.03.2026"
    assert (uk.weekday(AT_US), en.weekday(AT_US)) == ("пʼятниця", "Friday")
    assert uk.day_month(date(2026, 12, 20)) == "20\u00a0грудня"
    assert uk.time(AT_US) == "14:05"
    assert uk.moment(AT_US) == "20.11.2026, 14:05"
    assert uk.since(AT_US, AT_US + 60 * US_PER_SECOND) == "14:05"
    assert uk.since(AT_US, AT_US + 86_400 * US_PER_SECOND) == "20.11.2026, 14:05"
    assert uk.number(12345) == "12\u00a0345"
    assert (uk.room("228-А"), en.room("228-А")) == ("Кабінет 228-А", "Room 228-А")
    assert uk.room("конференц-зал") == "Конференц-зал"
    assert uk.bytes(1_440_000_000) == "1,4\u00a0ГБ"


@pytest.mark.parametrize(
    ("seconds", "uk", "en"),
    [
        (0, "0 с", "0 s"),
        (0.04, "< 1 с", "< 1 s"),
        (45, "45 с", "45 s"),
        (90, "1 хв 30 с", "1 min 30 s"),
        (4320, "1 год 12 хв", "1 h 12 min"),
        (3600, "1 год", "1 h"),
        (744 * 3600, "31 дн", "31 d"),
        (50 * 3600 + 59, "2 дн 2 год", "2 d 2 h"),
        (5399.9, "1 год 30 хв", "1 h 30 min"),
    ],
)
def test_durations(seconds, uk, en) -> None:
    microseconds = int(seconds * US_PER_SECOND)
    assert Localizer("uk").duration(microseconds).replace("\u00a0", " ") == uk
    assert Localizer("en").duration(microseconds).replace("\u00a0", " ") == en


@pytest.mark.parametrize(
    ("minutes", "uk", "en"),
    [
        (0, "0 с", "0 s"),
        (72, "1 год 12 хв", "1 h 12 min"),
        (61 * 60 + 5, "61 год 5 хв", "61 h 5 min"),
        (1238 * 60 + 59, "1 238 год", "1,238 h"),
    ],
)
def test_hours_are_never_days(minutes, uk, en) -> None:
    microseconds = minutes * 60 * US_PER_SECOND
    assert Localizer("uk").hours(microseconds).replace("\u00a0", " ") == uk
    assert Localizer("en").hours(microseconds).replace("\u00a0", " ") == en


def test_a_day_ends_at_24_and_not_before_it_begins() -> None:
    uk = Localizer("uk")
    midnight_us = parse_instant("2026-11-21T00:00:00+02:00")
    assert (uk.until(midnight_us), uk.until(midnight_us, seconds=True)) == ("24:00", "24:00:00")
    assert uk.until(midnight_us - 1, seconds=True) == "23:59:59"
    assert uk.until(midnight_us + 60_000_000) == "00:01"


def test_months_and_percents() -> None:
    uk, en = Localizer("uk"), Localizer("en")
    assert (uk.month(date(2026, 11, 1)), en.month(date(2026, 11, 1))) == (
        "листопад\u00a02026",
        "November\u00a02026",
    )
    assert (uk.percent(991, 1000), en.percent(991, 1000)) == ("99,1\u00a0%", "99.1%")
    # What is not whole is never shown as whole.
    assert (en.percent(999_999, 1_000_000), en.percent(5, 5), en.percent(0, 0)) == ("99.9%", "100%", "—")


@given(st.integers(0, 10**13))
def test_a_duration_never_shows_sixty_of_anything(microseconds) -> None:
    assert "60" not in re.findall(r"\d+", Localizer("en").duration(microseconds))[1:]


def test_only_the_two_languages_are_languages() -> None:
    assert as_language("en") == "en"
    for text in ("ru", "EN", "", None, "en; DROP TABLE"):
        assert as_language(text) is None
    assert DEFAULT_LANGUAGE == "uk"
