"""Words for the archive's own work: what a job does, why it failed, and what a person can do about it.

A job keeps a code of its last failure besides the text that was raised; the text is shown beneath the words.
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

# Of what is not listed, `other` and what a later version may write, the text is all there is.
_CAUSES: Final[dict[str, Words]] = {
    "holds_unconfirmed": Words(
        N_("Після відновлення індексу ще не підтверджено заборони знищення."),
        N_("На сервері: protokol hold confirm. Звірте список із запитами на папері чи в копії."),
    ),
    "needs_confirmation": Words(
        N_("Довелося б знищити більше половини архіву."),
        N_("Перевірте годинник сервера і protokol retention plan. Якщо все так: protokol retention run."),
    ),
    "clocks_differ": Words(
        N_("Годинники сервера і бази даних розходяться."),
        N_("Виправте час на обох, тоді спробуйте ще раз."),
    ),
    "worker_died": Words(
        N_("Сервер щоразу зупинявся посеред цього завдання."),
        N_("Перевірте пам'ять і журнал сервера, тоді спробуйте ще раз."),
    ),
    "decoding_slow": Words(
        N_("Програма, що розкодовує запис, не встигла."),
        N_("Якщо сервер перевантажений, спробуйте ще раз згодом. Якщо ні, перевірте камеру кабінету."),
    ),
    "decoding_ended": Words(
        N_("Програма, що розкодовує запис, зупинилася на ньому."),
        N_("Запис може бути пошкоджений або підроблений: відкрийте його і перевірте камеру кабінету."),
    ),
    "no_space": Words(
        N_("На диску або у сховищі не залишилося місця."),
        N_("Звільніть місце, тоді спробуйте ще раз."),
    ),
    "store_away": Words(
        N_("Сховище не відповіло."),
        N_("Перевірте, чи воно працює і чи змонтовано його диск, тоді спробуйте ще раз."),
    ),
    "database_away": Words(
        N_("База даних не відповіла."),
        N_("Перевірте, чи вона працює, тоді спробуйте ще раз."),
    ),
}
OTHER_CAUSE: Final = Words(
    N_("Сталася непередбачена помилка."),
    N_("Покажіть рядок нижче адміністраторові."),
)


def kind(code: str) -> Words:
    """A kind that is not listed must never break the page."""
    return KINDS.get(code, _OTHER_KIND)


def cause(failure: str | None) -> Words:
    """Why a job failed, by the code of its last failure (archive.job_failure)."""
    return _CAUSES.get(failure or "", OTHER_CAUSE)
