"""Words for the archive's own work: what a job does, why it failed, and what a person can do about it.

A job keeps its last error as the text that was raised, so causes are told apart by a piece of it. What is
not recognized is shown as it is, beneath the words for it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from retrieval_api.i18n import N_


class Words(NamedTuple):
    what: str
    advice: str


KINDS: Final[dict[str, Words]] = {
    "purge": Words(
        N_("планове знищення записів"),
        N_("Сервер сам повторює це щогодини."),
    ),
    "figures": Words(
        N_("підрахунок записаного за минулі дні"),
        N_("Сервер сам повторює це щогодини."),
    ),
    "derive": Words(
        N_("мініатюри і гучність запису"),
        N_("Сам запис лишився в архіві. Повторити все невиконане разом: protokol archive derive."),
    ),
}
_OTHER_KIND: Final = Words(N_("робота сервера"), "")

# A piece of the error → words. The first that is found counts.
_CAUSES: Final[tuple[tuple[str, Words], ...]] = (
    (
        "its holds are not confirmed",
        Words(
            N_("Після відновлення індексу ще не підтверджено заборони знищення."),
            N_("На сервері: protokol hold confirm. Звірте список із запитами на папері чи в копії."),
        ),
    ),
    (
        "more than half of the archive",
        Words(
            N_("Довелося б знищити більше половини архіву."),
            N_("Перевірте годинник сервера і protokol retention plan. Якщо все так: protokol retention run."),
        ),
    ),
    (
        "database's clock are",
        Words(
            N_("Годинники сервера і бази даних розходяться."),
            N_("Виправте час на обох, тоді спробуйте ще раз."),
        ),
    ),
    (
        "ended without a word",
        Words(
            N_("Сервер щоразу зупинявся посеред цього завдання."),
            N_("Перевірте пам'ять і журнал сервера, тоді спробуйте ще раз."),
        ),
    ),
    (
        "did not answer within",
        Words(
            N_("Програма, що розкодовує запис, не встигла."),
            N_("Якщо сервер перевантажений, спробуйте ще раз згодом. Якщо ні, перевірте камеру кабінету."),
        ),
    ),
    (
        "the decoding program",
        Words(
            N_("Програма, що розкодовує запис, зупинилася на ньому."),
            N_("Запис може бути пошкоджений або підроблений: відкрийте його і перевірте камеру кабінету."),
        ),
    ),
    *(
        (
            piece,
            Words(
                N_("На диску або у сховищі не залишилося місця."),
                N_("Звільніть місце, тоді спробуйте ще раз."),
            ),
        )
        for piece in ("no room left", "no space left", "No space left")
    ),
    *(
        (
            piece,
            Words(
                N_("База даних не відповіла."),
                N_("Перевірте, чи вона працює, тоді спробуйте ще раз."),
            ),
        )
        for piece in ("(sqlite3.", "(psycopg.")
    ),
)
OTHER_CAUSE: Final = Words(
    N_("Сталася непередбачена помилка."),
    N_("Покажіть рядок нижче адміністраторові."),
)


def kind(code: str) -> Words:
    """A kind that is not listed must never break the page."""
    return KINDS.get(code, _OTHER_KIND)


def cause(error: str) -> Words:
    """Why a job failed, from its last error."""
    return next((words for piece, words in _CAUSES if piece in error), OTHER_CAUSE)
