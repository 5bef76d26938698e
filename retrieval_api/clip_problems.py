"""Why a clip cannot be had, said to programs and to people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archive.door import GroundError, NoFootageError, Parts
from archive.mp4.virtual import ClipTooLongError, CodecChangeError, NothingRecordedError
from recorder.instants import format_exactly, format_instant
from recorder.intervals import Interval
from retrieval_api.i18n import N_
from retrieval_api.problems import PageText, Problem, translate

_NO_FOOTAGE = {
    "outside_hours": PageText(
        N_("У цей час запис не вівся"), N_("Це поза годинами запису. Виберіть інший час.")
    ),
    "gap": PageText(N_("Запису за цей час немає"), N_("У записі пропуск. Причину показано на смузі дня.")),
    "purged": PageText(
        N_("Запис знищено"),
        N_("Строк зберігання минув, і запис знищено. Протокол знищення: %(certificate)s."),
    ),
    "expired": PageText(
        N_("Строк зберігання минув"), N_("Цей запис відкривають лише для запиту або заборони знищення.")
    ),
    "future": PageText(N_("Цей час ще не настав"), N_("Виберіть час, який уже минув.")),
    "not_arrived": PageText(N_("Запис ще надходить"), N_("Спробуйте ще раз за дві хвилини.")),
    "nothing": PageText(N_("Запису за цей час немає"), N_("Причина невідома. Повідомте адміністратора.")),
}


def _no_footage(error: NoFootageError) -> Problem:
    page = _NO_FOOTAGE.get(error.code, _NO_FOOTAGE["nothing"])
    told = error.details
    extensions: dict[str, Any] = {"reason": error.code}
    if told.get("next_window"):
        extensions["next_window"] = {
            "from": format_instant(told["next_window"].start_us),
            "to": format_instant(told["next_window"].end_us),
        }
    if told.get("gaps"):
        extensions["gaps"] = [
            {
                "from": format_instant(gap.start_us),
                "to": format_instant(gap.end_us),
                "cause": gap.cause,
                "provisional": gap.provisional,
            }
            for gap in told["gaps"]
        ]
    if "certificate" in told:
        extensions["certificate"] = told["certificate"]
        extensions["purged"] = format_instant(told["purged_us"])
        page = PageText(page.title, page.advice, {"certificate": told["certificate"] or "—"})
    if "due_us" in told:
        extensions["due"] = format_instant(told["due_us"])
    return Problem(404, "no_footage", str(error), page=page, **extensions)


def _too_long(error: ClipTooLongError) -> Problem:
    page = PageText(N_("Задовгий проміжок"), N_("За один раз відкривають не більше трьох годин."))
    return Problem(422, "clip_too_long", str(error), page=page)


def _codec_change(error: CodecChangeError) -> Problem:
    page = PageText(
        N_("Посеред проміжку змінилося налаштування камери"),
        N_("Відкрийте дві частини окремо: до зміни і після неї."),
    )
    changes_at = format_exactly(error.at_us)
    return Problem(422, "codec_change", str(error), page=page, changes_at=changes_at)


def with_parts(
    error: ClipTooLongError | CodecChangeError, parts: Parts, address: Callable[[Interval], str], zone: str
) -> Problem:
    """The problem with the list of clips that can be had; `address` is the URL of one."""
    problem = _too_long(error) if isinstance(error, ClipTooLongError) else _codec_change(error)
    problem.extensions["clips"] = [
        {
            "from": format_exactly(each.start_us, zone),
            "to": format_exactly(each.end_us, zone),
            "url": address(each),
        }
        for each in parts.clips
    ]
    if parts.more_from_us is not None:
        problem.extensions["more_from"] = format_exactly(parts.more_from_us, zone)
    return problem


def install() -> None:
    """Tells the application how the errors of the clip engine and of the door are answered."""
    translate(NoFootageError, _no_footage)
    translate(
        NothingRecordedError,
        lambda error: Problem(404, "no_footage", str(error), page=_NO_FOOTAGE["nothing"], reason="nothing"),
    )
    translate(ClipTooLongError, _too_long)
    translate(CodecChangeError, _codec_change)
    translate(
        GroundError,
        lambda error: Problem(
            422,
            "bad_ground",
            str(error),
            page=PageText(
                N_("Такої підстави немає"),
                N_("Перевірте номер запиту або заборони знищення і спробуйте ще раз."),
            ),
        ),
    )
