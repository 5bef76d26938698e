"""Words of a room's day that a script shows: of the strip's intervals, and what the player says.

Message ids; `%(name)s` is filled in here for intervals and by the script for sentences.
"""

from __future__ import annotations

from typing import Final

from retrieval_api.i18n import N_, Localizer

WINDOW: Final = N_("години запису")
RECORDED: Final = N_("записано")
PENDING: Final = N_("ще надходить")
AHEAD: Final = N_("попереду")
CLOSED: Final = N_("поза годинами запису")
PURGED: Final = N_("знищено")
OPENED: Final = N_("відкрито за підставою")
UNOPENED: Final = N_("не відкрито за підставою")
HELD: Final = N_("заборона знищення %(number)s")
REQUESTED: Final = N_("запит %(number)s")
# A gap of one track: the other goes on beside it.
ONE_TRACK: Final = {"video": N_("без зображення: %(cause)s"), "audio": N_("без звуку: %(cause)s")}
PROVISIONAL: Final = N_("%(cause)s, попередньо")

# Name in the script → sentence. Times are filled in as `10:02:14`.
_SENTENCES: Final[dict[str, str]] = {
    "gap_skipped": N_("%(from)s–%(to)s запису немає: %(why)s. Показано з %(to)s."),
    "gap_back": N_("%(from)s–%(to)s запису немає: %(why)s. Показано до %(from)s."),
    "no_reason": N_("причина невідома"),
    "nothing_after": N_("Після %(at)s цього дня запису немає: %(why)s. Показано його кінець."),
    "bad_time": N_("Час не зрозуміло. Напишіть його так: 10:41:30."),
    "marked": N_("%(from)s–%(to)s"),
    "mark_from": N_("Початок: %(at)s. Тепер позначте кінець."),
    "mark_to": N_("Кінець: %(at)s. Тепер позначте початок."),
    "start_removed": N_("Кінець раніше за початок: початок прибрано."),
    "end_removed": N_("Початок після кінця: кінець прибрано."),
    "mark_none": N_("Початок і кінець не позначено."),
    "link_copied": N_("Посилання скопійовано."),
    "link_here": N_("Скопіюйте посилання з адреси сторінки: воно вже там."),
    "speed": N_("Швидкість %(rate)s×"),
    "play": N_("Відтворити"),
    "pause": N_("Зупинити"),
    "sound_on": N_("Увімкнути звук"),
    "sound_off": N_("Вимкнути звук"),
    "broken": N_("Запис не вдалося відкрити. Оновіть сторінку; якщо не допоможе, повідомте адміністратора."),
    "not_of_ground": N_("За цією підставою цього дня нічого не відкрито. Змініть підставу."),
    "part_of_day": N_("%(at)s за цією підставою не відкрито. Показано %(shown)s."),
    "ground_skipped": N_("%(from)s–%(to)s за цією підставою не відкрито. Показано з %(to)s."),
    "ground_ended": N_("Далі за цією підставою не відкрито."),
    "not_shown": N_("%(at)s показати не вдалося. Показано %(shown)s."),
    "expired": N_("Цей запис відкривають лише для запиту або заборони знищення."),
    "no_decoder": N_(
        "Цей браузер не відтворює формат цієї камери (H.265). "
        "Позначте проміжок, завантажте його й відкрийте у програмі VLC."
    ),
    "ended": N_("Кінець запису цього дня."),
    "growing": N_("Далі запис ще надходить. Перегляд продовжиться сам."),
    "visible": N_("На смузі %(from)s–%(to)s."),
    "position": N_("%(at)s, %(what)s"),
    "day_open": N_("записано %(recorded)s з %(planned)s"),
    "day_gaps": N_("пропуски %(gap)s"),
    "day_holds": N_("заборон знищення: %(count)s"),
    "day_requests": N_("запитів: %(count)s"),
    "day_purged": N_("знищено"),
    "day_closed": N_("запис не ведеться"),
    "day_future": N_("попереду"),
    "day_missing": N_("записів немає"),
    "hours": N_("год"),
    "minutes": N_("хв"),
    "seconds": N_("с"),
}


def sentences(texts: Localizer) -> dict[str, str]:
    return {name: texts.gettext(sentence) for name, sentence in _SENTENCES.items()}
