"""A certificate of purge as a printable PDF: Ukrainian first, English beside it.

The sheet repeats what was signed and adds nothing; the proof is the signed document itself. The same
certificate gives the same bytes at any time on any machine with the same font and library.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from fpdf import FPDF
from fpdf.enums import WrapMode, XPos, YPos

from archive.models import Certificate
from recorder.errors import ConfigurationError
from recorder.instants import to_datetime

# Debian's fonts-dejavu-core, which setup-system.sh installs.
FONTS = Path("/usr/share/fonts/truetype/dejavu")
_MARGIN_MM = 16
_LABEL_MM = 66
_LINE_MM = 4.2
# Two lines of a label or of a value, and what is around them.
_ROW_MM = 12
_INK, _SOFT, _LINE = (20, 33, 61), (70, 80, 106), (214, 220, 232)
_KINDS = {
    "segment": ("частин запису", "segments"),
    "gap": ("відомостей про пропуски", "gap records"),
    "quarantine": ("відкладених файлів", "quarantined files"),
}
Row = tuple[str, str, str]


def render(row: Certificate, timezone: str) -> bytes:
    """The PDF of a certificate; times are shown in `timezone`. Raises ConfigurationError without a font."""
    document = json.loads(row.body)
    pdf = _Sheet(row.id)
    pdf.set_creation_date(to_datetime(document["issued_us"], "UTC").astimezone(UTC))
    pdf.set_title(f"Протокол знищення № {row.id} / Purge certificate No. {row.id}")
    pdf.set_lang("uk")
    pdf.set_producer("Protokol")
    pdf.add_page()
    pdf.heading(f"Протокол знищення № {row.id}", f"Purge certificate No. {row.id}")
    for each in _facts(document, timezone):
        pdf.fact(each)
    pdf.ln(1)
    for text in (document["scope"]["uk"], document["scope"]["en"]):
        pdf.paragraph(text)
    pdf.subheading("Для перевірки / To verify")
    for each in _proofs(row, document):
        pdf.fact(each, mono=True)
    pdf.ln(1)
    pdf.paragraph(_HOW_UK)
    pdf.paragraph(_HOW_EN)
    pdf.commands(_HOW_BY_HAND)
    return bytes(pdf.output())


_HOW_UK = """\
Цей аркуш лише показує підписаний документ. Сам документ (certificate.json) і відкритий ключ сервера \
(server-key.pem) надає рада. Ланцюг усіх протоколів перевіряє команда protokol archive check --custody. \
Підпис можна перевірити і самостійно, трьома командами внизу."""
_HOW_EN = """\
This sheet only shows the signed document. The council hands out the document itself (certificate.json) and \
the server's public key (server-key.pem). The command protokol archive check --custody verifies the chain \
of all certificates. The signature can be verified without it, too:"""
_HOW_BY_HAND = """\
jq -jcS .certificate certificate.json > body
jq -r .signature certificate.json | base64 -d > signature
openssl pkeyutl -verify -pubin -inkey server-key.pem -rawin -in body -sigfile signature"""


def _facts(document: dict[str, Any], timezone: str) -> Iterator[Row]:
    def moment(instant_us: int | None) -> str:
        return "—" if instant_us is None else f"{to_datetime(instant_us, timezone):%d.%m.%Y %H:%M:%S %Z}"

    destroyed = document["destroyed"]
    year, month, day = document["date"].split("-")
    yield "Кабінет", "Room", document["room"]["label"]
    yield "День запису", "Day of recording", f"{day}.{month}.{year}"
    yield "Строк минув", "Due since", moment(document["due_us"])
    yield "Знищено", "Destroyed", moment(document["purged_us"])
    yield "Засвідчено", "Certified", moment(document["issued_us"])
    yield "Знищено частин запису", "Segments destroyed", str(destroyed["segments"])
    yield "Знищено відкладених файлів", "Quarantined files destroyed", str(destroyed["quarantined"])
    yield "Знищено відомостей про пропуски", "Gap records destroyed", str(destroyed["gap_records"])
    grouped = f"{destroyed['size_bytes']:,}".replace(",", " ")
    yield "Обсяг, байтів", "Size, bytes", grouped
    yield "Запис від", "Recorded from", moment(destroyed["start_us"])
    yield "Запис до", "Recorded until", moment(destroyed["end_us"])
    label = ("Залишено за забороною знищення", "Kept under a hold")
    for each in list(_kept(document)) or ["—"]:
        yield *label, each
        label = ("", "")
    also = "; ".join(document["also_recorded_by"]) or "—"
    yield "Цей кабінет записують також", "Also recorded by", also


def _kept(document: dict[str, Any]) -> Iterator[str]:
    for each in document["kept"]:
        counts = Counter(kind for kind, _ in each["items"])
        uk = ", ".join(f"{_KINDS.get(kind, (kind, kind))[0]}: {count}" for kind, count in counts.items())
        en = ", ".join(f"{_KINDS.get(kind, (kind, kind))[1]}: {count}" for kind, count in counts.items())
        yield f"№ {each['hold']}: {uk} / {en}"


def _proofs(row: Certificate, document: dict[str, Any]) -> Iterator[Row]:
    yield "SHA-256 протоколу", "of this certificate", row.sha256
    yield "Підпис (Ed25519)", "Signature", row.signature
    yield "Попередній протокол", "Previous certificate", document["previous"] or "—"
    yield "SHA-256 знищених об'єктів", "of the destroyed objects", document["destroyed"]["objects_sha256"]
    yield "SHA-256 опису знищеного", "of the tombstone", document["tombstone_sha256"]
    yield "SHA-256 плану", "of the plan", document["plan_sha256"]


class _Sheet(FPDF):
    """A4, one style. Text wraps anywhere a hash must."""

    def __init__(self, number: int) -> None:
        super().__init__(format="A4")
        self._number = number
        self.set_margins(_MARGIN_MM, _MARGIN_MM)
        self.set_auto_page_break(True, margin=_MARGIN_MM)
        try:
            self.add_font("sans", "", FONTS / "DejaVuSans.ttf")
            self.add_font("sans", "B", FONTS / "DejaVuSans-Bold.ttf")
            self.add_font("mono", "", FONTS / "DejaVuSansMono.ttf")
        except OSError as error:
            raise ConfigurationError(
                f"the fonts of a PDF are missing in {FONTS}: install the Debian package fonts-dejavu-core"
            ) from error

    def footer(self) -> None:
        self.set_y(-12)
        self._style("sans", "", 8, _SOFT)
        self.cell(0, 4, f"Protokol · № {self._number} · {self.page_no()}", align="C")

    def heading(self, uk: str, en: str) -> None:
        self._style("sans", "B", 20, _INK)
        self._text(uk, 10)
        self._style("sans", "", 12, _SOFT)
        self._text(en, 7)
        self.ln(4)

    def subheading(self, text: str) -> None:
        self.ln(2)
        self._style("sans", "B", 12, _INK)
        self._text(text, 8)

    def paragraph(self, text: str) -> None:
        self._style("sans", "", 8.5, _INK)
        self._text(text, _LINE_MM)
        self.ln(1)

    def commands(self, text: str) -> None:
        self._style("mono", "", 7.5, _INK)
        self._text(text, 4, wrap=WrapMode.CHAR)

    def fact(self, row: Row, *, mono: bool = False) -> None:
        uk, en, value = row
        if self.will_page_break(_ROW_MM):
            self.add_page()
        top = self.get_y()
        self.set_draw_color(*_LINE)
        self.line(_MARGIN_MM, top, self.w - _MARGIN_MM, top)
        self.set_y(top + 1)
        self._style("sans", "", 9, _INK)
        self._text(uk, 4, width_mm=_LABEL_MM)
        self._style("sans", "", 7, _SOFT)
        self._text(en, 3, width_mm=_LABEL_MM)
        bottom = self.get_y()
        self.set_xy(_MARGIN_MM + _LABEL_MM, top + 1)
        if mono:
            # A digest of 64 letters, 0.602 em each, fits into one line.
            self._style("mono", "", 7.5, _INK)
            self._text(value, 4, wrap=WrapMode.CHAR)
        else:
            self._style("sans", "", 10, _INK)
            self._text(value, 4.5)
        self.set_y(max(bottom, self.get_y()) + 0.8)

    def _text(
        self, text: str, line_mm: float, *, width_mm: float = 0, wrap: WrapMode = WrapMode.WORD
    ) -> None:
        """Ends at the beginning of the next line. `width_mm` 0: up to the right margin."""
        self.multi_cell(
            width_mm, line_mm, text, align="L", wrapmode=wrap, new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )

    def _style(self, family: str, style: str, points: float, colour: tuple[int, int, int]) -> None:
        self.set_font(family, style, points)
        self.set_text_color(*colour)
