from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import recorder
from recorder.capture.camera import CameraError
from recorder.readiness import CameraLook, HostLook, judge
from retrieval_api.agent_wording import SENTENCES, told
from retrieval_api.i18n import Localizer

UK, EN = Localizer("uk"), Localizer("en")
WELL = CameraLook(luma_mean=110, luma_spread=180, sound_dbfs=-40.0, bits_per_s=2_000_000)
HOST = HostLook(1000, estimated=False, accepts_footage=True, free_bytes=10**11, day_us=8 * 3600 * 10**6)


def test_the_recorder_says_each_sentence_that_has_words() -> None:
    code = "\n".join(path.read_text("utf-8") for path in Path(recorder.__file__).parent.rglob("*.py"))
    assert [each for each in SENTENCES if f'"{each}"' not in code] == []


@pytest.mark.parametrize(
    ("camera", "host"),
    [
        (replace(WELL, luma_spread=1), HOST),
        (replace(WELL, luma_mean=2, luma_spread=1), HOST),
        (replace(WELL, luma_mean=None), HOST),
        (replace(WELL, sound_dbfs=None), HOST),
        (replace(WELL, sound_dbfs=-91.0), HOST),
        (WELL, replace(HOST, uncertainty_us=10**9)),
        (WELL, replace(HOST, free_bytes=10**8)),
        (WELL, replace(HOST, accepts_footage=False)),
    ],
)
def test_each_reason_why_a_room_is_not_ready_has_words(camera: CameraLook, host: HostLook) -> None:
    [reason] = judge({"main": camera}, None, host, 1).reasons
    assert told(UK, reason.detail), reason
    assert told(EN, reason.detail), reason


def test_figures_are_written_as_the_reader_writes_them() -> None:
    detail = "0.5 GB free, the day needs 12.4 GB"
    assert told(UK, detail) == "вільно 0,5 ГБ, на день треба 12,4 ГБ"
    assert told(EN, detail) == detail
    assert told(UK, "peak -91 dBFS") == "пік −91 дБ"


def test_what_the_system_says_of_a_connection_has_words() -> None:
    said = str(CameraError.of(ConnectionRefusedError(111, "Connection refused")))
    assert told(UK, said) == "камера відхиляє з'єднання"
    assert told(UK, str(CameraError.of(TimeoutError()))) == "камера не відповідає"


@pytest.mark.parametrize("detail", ["", "Invalid data found when processing input", "peak -91 dBFS!"])
def test_what_only_a_library_says_has_none(detail: str) -> None:
    assert told(UK, detail) == ""
