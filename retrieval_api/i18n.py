"""Two languages: Ukrainian is what the pages are written in, English is a catalog beside it.

Message ids are the Ukrainian texts. `locale/en/*.po` translate them; `locale/uk/*.po` hold only plural
forms, because Ukrainian has three and a message id two. The catalogs of a language are read and
compiled in memory once, at start: there is no compiled file that could be stale.
"""

from __future__ import annotations

import datetime as dt
import gettext as gettext_module
import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from babel.core import Locale
from babel.dates import format_date
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from recorder.instants import US_PER_MINUTE, US_PER_SECOND, format_instant, local_date, to_datetime

Language = Literal["uk", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("uk", "en")
DEFAULT_LANGUAGE: Final[Language] = "uk"
LOCALE_DIR = Path(__file__).parent / "locale"
_NO_BREAK = "\u00a0"


def N_(message: str) -> str:  # noqa: N802 (gettext's own name for "mark, translate later")
    """Marks a text for the catalogs where it stands; it is translated where it is shown."""
    return message


def as_language(text: str | None) -> Language | None:
    """The language that a query or a cookie names, or None."""
    return text if text in LANGUAGES else None


def catalog_files(language: Language) -> list[Path]:
    return sorted((LOCALE_DIR / language).glob("*.po"))


@lru_cache(maxsize=len(LANGUAGES))
def translations(language: Language) -> gettext_module.NullTranslations:
    """All catalogs of a language, merged and compiled. Raises ValueError on a malformed catalog."""
    merged = Catalog(locale=language, charset="utf-8")
    for path in catalog_files(language):
        with path.open("rb") as opened:
            for message in read_po(opened, locale=language, abort_invalid=True):
                if message.id:
                    merged.add(message.id, message.string, context=message.context)
    compiled = io.BytesIO()
    write_mo(compiled, merged)
    compiled.seek(0)
    return gettext_module.GNUTranslations(compiled)


class Localizer:
    """Texts, dates and numbers in one language and one time zone. Immutable, shared between threads.

    Instants are UTC microseconds and are shown in the council's zone.
    """

    def __init__(self, language: Language, zone: str = "Europe/Kyiv") -> None:
        self.language = language
        self.zone = zone
        self.translations = translations(language)
        self._locale = Locale(language)

    # --- texts

    def gettext(self, message: str, **values: Any) -> str:
        text = self.translations.gettext(message)
        return text % values if values else text

    def ngettext(self, singular: str, plural: str, count: int, **values: Any) -> str:
        """The form for `count`, which is also the placeholder `%(num)s`."""
        text = self.translations.ngettext(singular, plural, count)
        return text % {"num": self.number(count), **values}

    _ = gettext

    def room(self, label: str) -> str:
        """`Кабінет 108`; a hall bears its own name (`Конференц-зал`)."""
        if label[:1].isdigit():
            return self._("Кабінет %(label)s", label=label)
        return label[:1].upper() + label[1:]

    # --- dates and times

    def date(self, value: int | dt.date) -> str:
        """`20.11.2026`, from an instant or a local date."""
        return f"{self._day(value):%d.%m.%Y}"

    def weekday(self, value: int | dt.date) -> str:
        """`п'ятниця`, `Friday`."""
        return str(format_date(self._day(value), "EEEE", locale=self._locale))

    def weekday_short(self, value: int | dt.date) -> str:
        """`пт`, `Fri`."""
        return str(format_date(self._day(value), "EEE", locale=self._locale))

    def day_month(self, value: int | dt.date) -> str:
        """`20 грудня`, `20 December`."""
        return str(format_date(self._day(value), "d MMMM", locale=self._locale)).replace(" ", _NO_BREAK)

    def month(self, value: dt.date) -> str:
        """`листопад 2026`, `November 2026`."""
        return str(format_date(value, "LLLL y", locale=self._locale)).replace(" ", _NO_BREAK)

    def time(self, instant_us: int) -> str:
        """`14:05`."""
        return f"{self._moment(instant_us):%H:%M}"

    def time_seconds(self, instant_us: int) -> str:
        """`14:05:09`."""
        return f"{self._moment(instant_us):%H:%M:%S}"

    def until(self, instant_us: int, *, seconds: bool = False) -> str:
        """The end of something: `14:05`, `14:05:09`; a day's own end is its 24:00, not the next 00:00."""
        told = self.time_seconds(instant_us) if seconds else self.time(instant_us)
        is_midnight = self._moment(instant_us).time() == dt.time.min
        return told.replace("00", "24", 1) if is_midnight else told

    def moment(self, instant_us: int, *, seconds: bool = False) -> str:
        """`20.11.2026, 14:05`, or `20.11.2026, 14:05:30`."""
        at = self._moment(instant_us)
        return f"{at:%d.%m.%Y, %H:%M:%S}" if seconds else f"{at:%d.%m.%Y, %H:%M}"

    def since(self, instant_us: int, now_us: int, *, seconds: bool = False) -> str:
        """`13:52` for today's instants, `19.11.2026, 13:52` for others."""
        same_day = local_date(instant_us, self.zone) == local_date(now_us, self.zone)
        if same_day:
            return self.time_seconds(instant_us) if seconds else self.time(instant_us)
        return self.moment(instant_us, seconds=seconds)

    def iso(self, instant_us: int) -> str:
        """RFC 3339 with the zone's offset, for `datetime=` attributes and links."""
        return format_instant(instant_us, self.zone)

    def duration(self, microseconds: int) -> str:
        """`1 год 12 хв`; seconds only below ten minutes, days from two days on; `< 1 с` rather than none."""
        seconds = round(microseconds / US_PER_SECOND)
        if microseconds > 0 and not seconds:
            return f"<{_NO_BREAK}{self._unit(1, 'с', 's')}"
        hours, rest = divmod(seconds, 3600)
        if hours >= 48:
            days, hours_left = divmod(hours, 24)
            parts = [self._unit(days, "дн", "d"), self._unit(hours_left, "год", "h")]
            return _NO_BREAK.join(parts[: 2 if hours_left else 1])
        minutes, seconds_left = divmod(rest, 60)
        parts = []
        if hours:
            parts.append(self._unit(hours, "год", "h"))
        if minutes:
            parts.append(self._unit(minutes, "хв", "min"))
        if (seconds_left and microseconds < 10 * US_PER_MINUTE) or not parts:
            parts.append(self._unit(seconds_left, "с", "s"))
        return _NO_BREAK.join(parts)

    def hours(self, microseconds: int) -> str:
        """As `duration`, but never in days: `61 год 5 хв`; whole hours, rounded down, from a hundred on."""
        hours, rest = divmod(round(microseconds / US_PER_MINUTE), 60)
        if hours < 48:
            return self.duration(microseconds)
        parts = [self._unit(hours, "год", "h")]
        if rest and hours < 100:
            parts.append(self._unit(rest, "хв", "min"))
        return _NO_BREAK.join(parts)

    # --- numbers

    def percent(self, part: int, whole: int) -> str:
        """`99,1 %`, rounded down: what is not whole is never 100; a dash where there is no whole."""
        if not whole:
            return "—"
        space = _NO_BREAK if self.language == "uk" else ""
        return f"{self.number(part * 1000 // whole / 10)}{space}%"

    def number(self, value: float) -> str:
        """`12 345`, `12,345`."""
        return str(format_decimal(value, locale=self._locale))

    def bytes(self, size: int) -> str:
        """`1,4 ГБ`, decimal units, one digit after the comma from MB on."""
        units = ("Б", "кБ", "МБ", "ГБ", "ТБ") if self.language == "uk" else ("B", "kB", "MB", "GB", "TB")
        scaled, unit = float(size), 0
        while scaled >= 1000 and unit < len(units) - 1:
            scaled, unit = scaled / 1000, unit + 1
        text = format_decimal(round(scaled, 1 if unit >= 2 else 0), locale=self._locale)
        return f"{text}{_NO_BREAK}{units[unit]}"

    def filters(self) -> Iterator[tuple[str, Any]]:
        """What templates call as `{{ value | name }}`."""
        names = "room date weekday weekday_short day_month month time time_seconds moment since iso duration"
        for name in (*names.split(), "until", "hours", "percent", "number", "bytes"):
            yield name, getattr(self, name)

    def _unit(self, value: int, uk: str, en: str) -> str:
        return f"{self.number(value)}{_NO_BREAK}{uk if self.language == 'uk' else en}"

    def _moment(self, instant_us: int) -> dt.datetime:
        return to_datetime(instant_us, self.zone)

    def _day(self, value: int | dt.date) -> dt.date:
        return value if isinstance(value, dt.date) else local_date(value, self.zone)
