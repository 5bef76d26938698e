"""The sheet of a certificate, read by a reader that is not the writer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from archive.models import Certificate
from retention.certificate import body, sign
from retention.certificate_pdf import render
from tests.unit.test_retention_certificate import KEY, TOMBSTONE

ROOT = Path(__file__).parents[2]


def certificate(**changes) -> Certificate:
    tombstone = {
        **TOMBSTONE,
        "kept": [{"hold": 7, "items": [["segment", "k"], ["segment", "l"], ["gap", "m"]]}],
    }
    options = {
        "number": 12,
        "previous_sha256": "e" * 64,
        "room_label": "228-А, «Ґанок її дому»",
        "also_recorded_by": ["пульт охорони"],
        "issued_us": 1_790_000_000_000_000,
    }
    document = body({**tombstone, **changes}, **options)
    signed = sign(document, KEY)
    return Certificate(id=12, body=signed.encoded, signature=signed.signature, sha256=signed.sha256)


def read(pdf: bytes, path: Path) -> str:
    path.write_bytes(pdf)
    return subprocess.run(
        ["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True
    ).stdout


def test_it_tells_what_was_signed_in_both_languages(tmp_path):
    row = certificate()
    text = read(render(row, "Europe/Kyiv"), tmp_path / "a.pdf")
    told = " ".join(text.split())
    for words in (
        "Протокол знищення № 12", "Purge certificate No. 12", "228-А, «Ґанок її дому»", "20.11.2026",
        "Знищено частин запису", "№ 7: частин запису: 2, відомостей про пропуски: 1",
        "segments: 2, gap records: 1",
        "пульт охорони", "Destroyed in this system", "Знищено в цій системі", "21.09.2026 17:13:20 EEST",
    ):  # fmt: skip
        assert words in told, (words, text)
    # Whole, each in one line: a person compares them by eye.
    assert row.sha256 in told
    assert json.loads(row.body)["destroyed"]["objects_sha256"] in told
    assert row.signature[:60] in told
    assert row.signature[-16:] in told
    assert "\f" not in text.rstrip("\f"), "an ordinary certificate is one sheet"


def test_a_long_list_of_holds_goes_on_over_pages(tmp_path):
    kept = [{"hold": number, "items": [["segment", "k"]]} for number in range(1, 40)]
    text = read(render(certificate(kept=kept), "Europe/Kyiv"), tmp_path / "a.pdf")
    assert all(f"№ {number}: частин запису: 1" in text for number in range(1, 40))
    assert "№ 12 · 2" in text


def test_the_same_certificate_is_the_same_file_in_another_process(tmp_path):
    here = render(certificate(), "Europe/Kyiv")
    code = (
        "import sys; from tests.unit.test_retention_certificate_pdf import certificate, render; "
        "sys.stdout.buffer.write(render(certificate(), 'Europe/Kyiv'))"
    )
    there = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert there.stdout == here
