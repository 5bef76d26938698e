"""How a request is answered that the store has failed: try again (503).

An object that was altered, or whose key is gone, is no such case: nothing about it passes, and it stays a
defect that is logged whole.
"""

from __future__ import annotations

from typing import Final

from archive.store import StoreAwayError
from recorder.logging import get_logger
from retrieval_api.i18n import N_
from retrieval_api.problems import PageText, Problem, translate

_log = get_logger()
# A storage daemon's restart takes seconds, a disk that is mounted again takes a person.
RETRY_AFTER_S: Final = 15
_PAGE = PageText(
    N_("Сховище записів зараз недоступне"),
    N_("Спробуйте ще раз за кілька хвилин. Якщо повториться, скажіть адміністраторові."),
)


def install() -> None:
    translate(StoreAwayError, _on_store_away)


def _on_store_away(error: StoreAwayError) -> Problem:
    _log.error("store_failed_request", alarm=True, reason=str(error))
    return Problem(
        503,
        "store_away",
        "the store of footage does not answer now; nothing was changed, try again",
        page=_PAGE,
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
