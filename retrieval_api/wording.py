"""Words for the codes of the lower floors: causes of gaps, actions of the custody log, grounds, roles.

Message ids, translated where they are shown. A code that is not listed here is shown as it is: a new
one must never break a page.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from retrieval_api import quarantine_wording
from retrieval_api.i18n import N_


class Cause(NamedTuple):
    """Of a gap: as it is now (board), as it was (day), and what a person can do about it."""

    now: str
    past: str
    advice: str


CAUSES: Final[dict[str, Cause]] = {
    "opening": Cause(
        N_("запис починається"),
        N_("запис починався"),
        N_("Зачекайте хвилину. Якщо не минає, перезапустіть службу запису цього кабінету."),
    ),
    "camera_unreachable": Cause(
        N_("камера не відповідає"),
        N_("камера не відповідала"),
        N_("Перевірте живлення і мережевий кабель камери. Запис відновиться сам."),
    ),
    "camera_stalled": Cause(
        N_("камера зависла"),
        N_("камера зависла"),
        N_("Вимкніть і ввімкніть живлення камери. Запис відновиться сам."),
    ),
    "camera_refused": Cause(
        N_("камера не приймає пароль"),
        N_("камера не приймала пароль"),
        N_("Перевірте ім'я і пароль камери в налаштуваннях комп'ютера кабінету."),
    ),
    "microphone_lost": Cause(
        N_("мікрофон не чути"),
        N_("мікрофона не було"),
        N_("Перевірте кабель мікрофона. Звук відновиться сам."),
    ),
    "agent_down": Cause(
        N_("немає зв'язку з комп'ютером запису"),
        N_("не було зв'язку з комп'ютером запису"),
        N_("Перевірте, чи ввімкнено комп'ютер кабінету і чи є мережа. Записане надійде, щойно зв'язок буде."),
    ),
    "power_lost": Cause(
        N_("немає живлення"), N_("не було живлення"), N_("Запис відновиться, щойно з'явиться живлення.")
    ),
    "maintenance": Cause(N_("технічні роботи"), N_("технічні роботи"), N_("Дочекайтеся завершення робіт.")),
    "restart": Cause(
        N_("служба запису перезапускається"),
        N_("служба запису перезапускалася"),
        N_("Зачекайте хвилину."),
    ),
    "overload": Cause(
        N_("комп'ютер запису перевантажений"),
        N_("комп'ютер запису був перевантажений"),
        N_("Закрийте інші програми на комп'ютері кабінету."),
    ),
    "spool_full": Cause(
        N_("диск комп'ютера запису заповнений"),
        N_("диск комп'ютера запису був заповнений"),
        N_("Відновіть зв'язок із сервером: записане буде надіслано, і місце звільниться."),
    ),
    "disk_error": Cause(
        N_("помилка диска"), N_("помилка диска"), N_("Диск комп'ютера кабінету треба замінити.")
    ),
    "clock_step": Cause(
        N_("годинник комп'ютера перевели"),
        N_("годинник комп'ютера перевели"),
        N_("Перевірте службу часу на комп'ютері кабінету."),
    ),
    "clock_unknown": Cause(
        N_("точний час невідомий"),
        N_("точний час був невідомий"),
        N_("Перевірте службу часу на комп'ютері кабінету: без точного часу запис не ведеться."),
    ),
    "lost_in_crash": Cause(
        N_("втрачено під час збою"),
        N_("втрачено під час збою"),
        N_("Записане до збою збережено. Нічого робити не треба."),
    ),
    "unknown": Cause(
        N_("причина невідома"),
        N_("причина невідома"),
        N_("Покличте адміністратора: причина є в журналі служби запису."),
    ),
}


class Condition(NamedTuple):
    """Of a room that records, but not well: as it is now, and what a person can do about it."""

    now: str
    advice: str


CONDITIONS: Final[dict[str, Condition]] = {
    "picture_black": Condition(
        N_("зображення чорне"),
        N_("Увімкніть світло. Якщо воно ввімкнене, зніміть кришку з об'єктива камери."),
    ),
    "picture_covered": Condition(
        N_("камера закрита"), N_("Приберіть те, що затуляє об'єктив камери, і протріть його.")
    ),
    "picture_frozen": Condition(N_("зображення нерухоме"), N_("Вимкніть і ввімкніть живлення камери.")),
    "picture_blurred": Condition(
        N_("зображення нерізке"),
        N_("Протріть об'єктив камери. Якщо не допомогло, налаштуйте її різкість."),
    ),
    "picture_unchecked": Condition(
        N_("зображення не перевіряється"),
        N_("Запис іде, але чи є на ньому щось, невідомо. Покличте адміністратора."),
    ),
    "sound_missing": Condition(
        N_("запис без звуку"),
        N_("Перевірте кабель мікрофона й звук у налаштуваннях камери. Записується лише зображення."),
    ),
    "microphone_replaced": Condition(
        N_("мікрофон не чути, пишеться звук камери"),
        N_("Перевірте, чи вставлено кабель мікрофона в комп'ютер кабінету. Мікрофон підхопиться сам."),
    ),
    "sound_silent": Condition(
        N_("тиша в мікрофоні"),
        N_(
            "Перевірте, чи ввімкнено мікрофон і чи вставлено його кабель. Якщо мікрофон у тиші вимикається "
            "сам, вимкніть у ньому шумозаглушення."
        ),
    ),
    "sound_clipping": Condition(
        N_("звук перевантажено"), N_("Зменште підсилення мікрофона або відсуньте його від людей.")
    ),
    "sound_hum": Condition(
        N_("гудіння у звуці"),
        N_("Відведіть кабель мікрофона від кабелів живлення. Перевірте його екран і заземлення."),
    ),
    "disk_low": Condition(
        N_("мало місця на диску"),
        N_("Відновіть зв'язок із сервером: записане буде надіслано. Приберіть із диска зайве."),
    ),
    "spool_old": Condition(
        N_("записане чекає надсилання понад добу"),
        N_("Відновіть зв'язок між комп'ютером кабінету і сервером. Записане збережено і надійде пізніше."),
    ),
    "shipping_late": Condition(
        N_("записане надходить із запізненням"),
        N_("Перевірте мережу між комп'ютером кабінету і сервером. Записане збережено і надійде пізніше."),
    ),
    "clock_error": Condition(
        N_("годинник комп'ютера неточний"), N_("Перевірте службу часу на комп'ютері кабінету.")
    ),
    "camera_clock_error": Condition(
        N_("годинник камери неточний"),
        N_("Увімкніть у камері звіряння часу. Час запису від її годинника не залежить."),
    ),
    "hot": Condition(
        N_("комп'ютер запису перегрівається"),
        N_("Звільніть його вентиляційні отвори. Перевірте, чи обертається вентилятор."),
    ),
}

TRACKS: Final = {"video": N_("зображення"), "audio": N_("звук")}

ROLES: Final = {
    "clerk": N_("діловод"),
    "operator": N_("оператор"),
    "reviewer": N_("погоджувач"),
    "auditor": N_("аудитор"),
    "admin": N_("адміністратор"),
}

GROUNDS: Final = {
    "request": N_("запит %(reference)s"),
    "hold": N_("заборона знищення %(reference)s"),
    "fault_check": N_("перевірка несправності"),
    "audit": N_("аудит"),
}

ACTORS: Final = {
    "agent": N_("комп'ютер кабінету"),
    "anonymous": N_("невідомо хто"),
    "certificate": N_("протокол знищення %(reference)s"),
    "checkpoint": N_("контрольна точка %(reference)s"),
    "cli": N_("адміністратор сервера (%(reference)s)"),
    "configuration": N_("налаштування, версія %(reference)s"),
    "enrolment": N_("ключ комп'ютера %(reference)s"),
    "hold": N_("заборона знищення %(reference)s"),
    "job": N_("завдання %(reference)s"),
    "mark": N_("позначка %(reference)s"),
    "request": N_("запит %(reference)s"),
    "segment": N_("частина запису %(reference)s"),
    "system": N_("система"),
    "tombstone": N_("запис про знищення %(reference)s"),
    "viewing": N_("перегляд %(reference)s"),
}

# In the order in which they are read.
DETAILS: Final = {
    "number": N_("номер"),
    "kind": N_("вид"),
    "asked": N_("просили"),
    "start_us": N_("від"),
    "end_us": N_("до"),
    "from_us": N_("було до"),
    "to_us": N_("стало до"),
    "expires_us": N_("нагадати"),
    "served_start_us": N_("показано від"),
    "served_end_us": N_("показано до"),
    "served_bytes": N_("передано"),
    "ground": N_("підстава"),
    "basis": N_("як підтверджено"),
    "partial": N_("частково"),
    "appeal_until_us": N_("оскарження до"),
    "request": N_("запит"),
    "role": N_("роль"),
    "rooms": N_("кабінети"),
    "contact": N_("відбиток контакту"),
    "contact_kind": N_("вид контакту"),
    "objects": N_("файлів"),
    "size_bytes": N_("обсяг"),
    "kept": N_("залишено"),
    "code": N_("код"),
    "reason": N_("причина"),
    "filter": N_("відбір"),
    "format": N_("формат"),
    "version": N_("версія"),
    "source": N_("джерело"),
    "clock": N_("годинник"),
    "tombstone": N_("запис про знищення"),
    "plan_sha256": N_("відбиток плану"),
    "manifest_sha256": N_("відбиток опису"),
    "sha256": N_("відбиток"),
}

# What happened beside the recording.
MARKS: Final = {
    "air_raid_alert": N_("повітряна тривога"),
    "evacuation": N_("евакуація"),
    "power_cut": N_("вимкнення світла"),
    "other": N_("позначка"),
}

# Values of details that are words of ours, by the detail's name.
VALUES: Final[dict[str, dict[str, str]]] = {
    "contact_kind": {
        "email": N_("електронна пошта"),
        "phone": N_("телефон"),
        "person": N_("особисто"),
    },
    "basis": {
        "document": N_("документ"),
        "booking": N_("запис на прийом"),
        "authority": N_("повноваження представника"),
        "known": N_("знає працівник"),
    },
    "clock": {"system": N_("серверний"), "given": N_("заданий вручну")},
    "partial": {"true": N_("так"), "false": N_("ні")},
    "role": ROLES,
    "kind": MARKS,
    "code": {code: words.what for code, words in quarantine_wording.REASONS.items()},
    "source": {"button": N_("кнопка"), "webhook": N_("система оповіщення")},
}

ACTIONS: Final = {
    "agent_enrolled": N_("комп'ютер кабінету підключено"),
    "checkpoint_signed": N_("стан журналу підписано"),
    "configuration_changed": N_("налаштування кабінетів змінено"),
    "recording_extended": N_("запис подовжено"),
    "exported": N_("запис збережено у файл"),
    "gap_accepted": N_("пропуск у записі зафіксовано"),
    "hold_expiry_set": N_("нагадування про заборону знищення встановлено"),
    "hold_narrowed": N_("заборону знищення звужено"),
    "hold_placed": N_("знищення заборонено"),
    "job_cancelled": N_("завдання скасовано"),
    "job_retried": N_("завдання повторено"),
    "hold_released": N_("заборону знищення знято"),
    "holds_confirmed": N_("заборони знищення підтверджено"),
    "index_rebuilt": N_("індекс архіву відновлено"),
    "identity_recorded": N_("особу заявника підтверджено"),
    "interval_set": N_("межі запису задано"),
    "log_exported": N_("журнал збережено у файл"),
    "login": N_("вхід"),
    "login_failed": N_("невдалий вхід"),
    "logout": N_("вихід"),
    "mark_ended": N_("позначку завершено"),
    "mark_started": N_("позначку поставлено"),
    "master_key_rotated": N_("головний ключ змінено"),
    "master_key_rotation_begun": N_("заміну головного ключа розпочато"),
    "pin_failed": N_("неправильний PIN-код"),
    "pin_locked": N_("запит заблоковано через неправильні PIN-коди"),
    "pin_reissued": N_("видано новий PIN-код"),
    "purge_certified": N_("знищення засвідчено"),
    "purged": N_("запис знищено"),
    "request_approved": N_("запит задоволено"),
    "request_closed": N_("запит закрито"),
    "request_matched": N_("запит зіставлено із записом"),
    "request_not_found": N_("запит: запису немає"),
    "request_opened": N_("запит відкрито заявником"),
    "request_refused": N_("у запиті відмовлено"),
    "request_registered": N_("запит зареєстровано"),
    "request_reopened": N_("розгляд запиту відновлено"),
    "request_withdrawn": N_("запит відкликано"),
    "segment_accepted": N_("частину запису прийнято"),
    "segment_quarantined": N_("частину запису відкладено на перевірку"),
    "strays_purged": N_("залишки файлів знищено"),
    "user_added": N_("працівника додано"),
    "user_disabled": N_("працівника вимкнено"),
    "user_reset": N_("пароль працівника скинуто"),
    "view_closed": N_("перегляд завершено"),
    "view_opened": N_("запис відкрито"),
}


def cause_now(code: str | None) -> str:
    return CAUSES[code].now if code in CAUSES else (code or "")


def condition_now(code: str) -> str:
    return CONDITIONS[code].now if code in CONDITIONS else code


def cause_past(code: str) -> str:
    return CAUSES[code].past if code in CAUSES else code


def action(code: str) -> str:
    return ACTIONS.get(code, code)
