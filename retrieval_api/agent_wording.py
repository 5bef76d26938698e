"""Words for what an agent tells beside a code.

It tells it in English: sentences of its own, figures, and what the system says of a connection. These have
words here; what only a library says has none.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from retrieval_api.i18n import N_, Localizer

# As the recorder says them; a test demands that it does.
SENTENCES: Final[dict[str, str]] = {
    "the camera does not answer": N_("камера не відповідає"),
    "the camera refuses the user or the password": N_("камера не приймає ім'я або пароль"),
    "the camera knows no stream of that path": N_("за цією адресою камера нічого не передає"),
    "the camera sends nothing any more": N_("камера більше нічого не надсилає"),
    "the camera closed the connection": N_("камера закрила з'єднання"),
    "no picture for a second": N_("понад секунду немає зображення"),
    "the camera's sound lost its clock": N_("звук камери втратив лік часу"),
    "no keyframe could be decoded": N_("жодного кадру не вдалося розкодувати"),
    "no sound comes": N_("звук не надходить"),
    "no sound came": N_("звук не надходить"),
    "the microphone does not answer": N_("мікрофон не відповідає"),
    "the sound system does not answer": N_("звукова система комп'ютера не відповідає"),
    "the room host did not keep up": N_("комп'ютер кабінету не встигав"),
    "the host's clock was set": N_("годинник комп'ютера перевели"),
}
_CONNECTIONS: Final[dict[str, str]] = {
    os.strerror(errno.ECONNREFUSED): N_("камера відхиляє з'єднання"),
    os.strerror(errno.ECONNRESET): N_("камера розірвала з'єднання"),
    os.strerror(errno.EHOSTUNREACH): N_("камери немає в мережі"),
    os.strerror(errno.ENETUNREACH): N_("комп'ютер кабінету не має мережі"),
    os.strerror(errno.ETIMEDOUT): N_("камера не відповідає"),
}
_NUMBER = r"(-?\d+(?:\.\d+)?)"
# The figures go into the message in their order, by these names.
_FIGURES: Final[tuple[tuple[re.Pattern[str], str, tuple[str, ...]], ...]] = (
    (re.compile(f"peak {_NUMBER} dBFS"), N_("пік %(level)s дБ"), ("level",)),
    (
        re.compile(f"luma {_NUMBER}, spread {_NUMBER}"),
        N_("яскравість %(luma)s, розкид %(spread)s"),
        ("luma", "spread"),
    ),
    (re.compile(f"known to {_NUMBER} ms"), N_("час відомий з точністю до %(count)s мс"), ("count",)),
    (
        re.compile(f"{_NUMBER} GB free, the day needs {_NUMBER} GB"),
        N_("вільно %(free)s ГБ, на день треба %(needed)s ГБ"),
        ("free", "needed"),
    ),
)


def told(texts: Localizer, detail: str) -> str:
    """In the reader's language; empty where there are no words for it, and it is only to be quoted."""
    sentence = SENTENCES.get(detail) or _CONNECTIONS.get(detail)
    if sentence:
        return texts.gettext(sentence)
    for pattern, message, names in _FIGURES:
        if found := pattern.fullmatch(detail):
            figures = (texts.number(float(each)).replace("-", "−") for each in found.groups())
            return texts.gettext(message, **dict(zip(names, figures, strict=True)))
    return ""
