"""The pages and the API of requests, over a real server: what people fill in, and what they get back."""

from __future__ import annotations

import io
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import av
import pytest
from sqlalchemy import func, select

from archive.models import CustodyEvent, Hold, Request, Viewing
from recorder.instants import US_PER_MINUTE, US_PER_SECOND, parse_instant
from retrieval_api.requests.numbers import make_number
from tests.footage import FakeAgent, make_archive
from tests.requesting import APPLICATION, application, at, purge_at
from tests.web import Client, Clock, add_staff, serving

NOW = at(12, day=date(2026, 11, 23))
DUE = at(0, day=date(2026, 12, 20))
FORM = {
    "room": "108",
    "date": "20.11.2026",
    "about": "half_hour",
    "time": "10:30",
    "official": "Олена Коваль",
    "purpose": "оскаржити рішення",
    "name": "Іван Петренко",
    "contact_kind": "phone",
    "email": "",
    "phone": "067 123 45 67",
}
_DIGITS = re.compile(r'data-test="(number|pin)">([^<]+)<')


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """An archive's directory with staff and twelve seconds of room 108: made once, copied for each test."""
    directory = tmp_path_factory.mktemp("template")
    made = make_archive(directory)
    add_staff(made)
    agent = FakeAgent(made)
    for number in range(6):
        agent.record(at(10, 30) + number * 2 * US_PER_SECOND)
    made.close()
    return directory


@pytest.fixture
def archive(tmp_path, template):
    shutil.copytree(template, tmp_path / "data")
    made = make_archive(tmp_path / "data", public_url="https://protokol.example")
    yield made
    made.close()


@pytest.fixture
def clock():
    clock = Clock()
    clock.set_us = NOW
    return clock


@pytest.fixture
def url(archive, clock):
    with serving(archive, clock) as served:
        yield served


@pytest.fixture
def resident(url):
    with Client(base_url=url, follow_redirects=True) as made:
        yield made


@pytest.fixture
def operator(url):
    with Client(base_url=url, follow_redirects=True) as made:
        made.log_in("operator")
        yield made


def send(resident: Client, **changes: str):
    """The last page of the form, sent with everything that the pages before carried."""
    fields = {**FORM, **changes}
    return resident.form("/request/new", **{"step": "check", "go": "send", **fields})


def register(resident: Client, **changes: str) -> tuple[str, str]:
    answer = send(resident, **changes)
    assert answer.status_code == 200, answer.text
    found = dict(_DIGITS.findall(answer.text))
    return found["number"], found["pin"].replace(" ", "")


def log_in(resident: Client, number: str, pin: str):
    return resident.form("/status", number=number, pin=pin)


def approve(operator: Client, number: str, start: str = "10:30:02", end: str = "10:30:08") -> None:
    page = f"/staff/requests/{number}"
    for action, fields in (
        ("match", {"room": "108"}),
        ("interval", {"in": start, "out": end}),
        ("identity", {"basis": "document", "note": "паспорт"}),
    ):
        assert operator.form(page, f"{page}/{action}", **fields).status_code == 200
    seen = dict(re.findall(r'name="(seen_\w+)" value="(\d+)"', operator.get(page).text))
    answer = operator.form(page, f"{page}/decision", outcome="released", reason="", **seen)
    assert answer.status_code == 200, answer.text


def count(archive, model) -> int:
    with archive.database.reading() as session:
        return session.scalar(select(func.count()).select_from(model))


def actions(archive, *where) -> list[str]:
    with archive.database.reading() as session:
        return list(session.scalars(select(CustodyEvent.action).where(*where)))


# --- the form ---------------------------------------------------------------------------------------


def test_the_notice_tells_and_the_door_fills_in_the_room(resident) -> None:
    page = resident.get("/request?room=228-A").text
    assert 'href="/request/new?room=228-a"' in page
    assert "згод" not in page.lower(), "nobody is asked for a consent that they cannot refuse"
    assert '<option value="228-a" selected>' in resident.get("/request/new?room=228-a").text
    assert resident.get("/request?room=<script>").status_code == 200
    english = resident.get("/?lang=en").text
    assert "Get the recording of my meeting" in english


def test_three_pages_a_check_and_a_receipt_without_javascript(resident, archive) -> None:
    carried: dict[str, str] = {"step": "when"}
    for step, names in (
        ("when", ("room", "date", "about", "time")),
        ("whom", ("official", "purpose")),
        ("contact", ("name", "contact_kind", "email", "phone")),
    ):
        carried |= {name: FORM[name] for name in names} | {"step": step}
        page = resident.form("/request/new", **carried)
        assert page.status_code == 200, page.text
        for name in names:
            assert f'name="{name}" value="{FORM[name]}"' in page.text or name == "email"
    assert "з 10:00 до 12:00" in page.text
    assert count(archive, Request) == 0, "nothing of a person is kept before the request is sent"
    receipt = resident.form("/request/new", **{**carried, "step": "check", "go": "send"})
    assert receipt.url.path == "/request/receipt"
    found = dict(_DIGITS.findall(receipt.text))
    assert "понеділок, 30.11.2026" in receipt.text
    assert "<svg" in receipt.text
    assert count(archive, Hold) == 1
    for answer in (*receipt.history, receipt):
        assert found["pin"].replace(" ", "") not in str(answer.url)
    assert receipt.headers["Cache-Control"] == "no-store"


def test_the_receipt_can_be_reloaded_for_some_minutes(resident, clock) -> None:
    number, _ = register(resident)
    assert number in resident.get("/request/receipt").text
    clock.forward(16 * US_PER_MINUTE)
    gone = resident.get("/request/receipt")
    assert gone.status_code == 410
    assert number not in gone.text


def test_a_double_click_registers_one_request(url, archive) -> None:
    with Client(base_url=url) as resident:
        page = resident.get("/request/new").text
        hidden = dict(re.findall(r'name="(csrf|form)" value="([^"]+)"', page))
        data = {**FORM, **hidden, "step": "check", "go": "send"}
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: resident.post("/request/new", data=data), range(4)))
    assert {answer.status_code for answer in answers} == {303}
    assert count(archive, Request) == 1


@pytest.mark.parametrize(
    ("step", "changes", "words"),
    [
        ("when", {"date": ""}, "Вкажіть дату"),
        ("when", {"date": "20 листопада"}, 'type="text" value="20 листопада"'),
        ("when", {"date": "22.10.2026"}, "знищено 22.11.2026 о 00:00"),
        ("when", {"date": "24.11.2026"}, "не настала"),
        ("whom", {"official": ""}, "з ким Ви зустрічалися"),
        ("whom", {"purpose": "я" * 1_000_000}, "Ви ввели 1000000"),
        ("contact", {"phone": "12"}, 'href="#phone"'),
        ("contact", {"phone": '"><script>alert(1)</script>'}, "&lt;script&gt;"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(resident, step, changes, words) -> None:
    answer = resident.form("/request/new", **{**FORM, "step": step, **changes})
    assert answer.status_code == 422
    assert words in answer.text
    assert "<script>" not in answer.text
    for name, value in FORM.items():
        if name not in changes and value:
            assert f'value="{value}"' in answer.text or f">\n{value}</textarea>" in answer.text


def test_what_is_wrong_on_an_earlier_page_leads_back_to_it(resident) -> None:
    answer = send(resident, official="")
    assert answer.status_code == 422
    assert "З ким Ви зустрічалися?" in answer.text
    back = resident.form("/request/new", **{**FORM, "step": "contact", "go": "back", "name": "??"})
    assert "З ким Ви зустрічалися?" in back.text
    assert 'name="name" value="??"' in back.text


def test_too_many_open_requests_are_explained(resident, archive) -> None:
    for _ in range(archive.settings.open_requests_per_contact):
        register(resident)
    answer = send(resident)
    assert answer.status_code == 422
    assert "більше відкритих запитів подати не можна" in answer.text


def test_a_form_of_another_site_is_refused(url) -> None:
    with Client(base_url=url) as stranger:
        assert stranger.post("/request/new", data={**FORM, "step": "check", "go": "send"}).status_code == 403
        assert stranger.post("/status", data={"number": "1", "pin": "2"}).status_code == 403


# --- the state ----------------------------------------------------------------------------------------


def test_number_and_pin_show_the_state(resident) -> None:
    number, pin = register(resident)
    page = log_in(resident, number, pin)
    assert page.url.path == "/my"
    assert "Запит чекає на розгляд" in page.text
    assert "Поки що ніхто" in page.text
    assert "30.11.2026" in page.text
    left = resident.form("/my", "/my/leave")
    assert left.url.path == "/"
    assert resident.get("/my").url.path == "/status"


@pytest.mark.parametrize(
    ("number", "pin", "words"),
    [
        ("", "", "Введіть реєстраційний номер"),
        ("2026-000001-1", "12345678", "У номері помилка"),
        ("2026-000001-5", "1234", "вісім цифр"),
        ("9" * 1_000_000, "1" * 1_000_000, "У номері помилка"),
    ],
)
def test_slips_cost_no_attempt(resident, archive, number, pin, words) -> None:
    register(resident)
    answer = log_in(resident, number, pin)
    assert answer.status_code == 422
    assert words in answer.text
    assert "pin_failed" not in actions(archive)


def test_a_wrong_pin_and_an_unknown_number_read_alike(resident) -> None:
    number, _ = register(resident)
    unknown = make_number(2026, 99)
    answers = [log_in(resident, each, "00000000") for each in (number, unknown)]
    pages = [answer.text.replace(number, "N").replace(unknown, "N") for answer in answers]
    token = re.compile(r'name="csrf" value="[^"]+"')
    assert token.sub("", pages[0]) == token.sub("", pages[1])
    assert [answer.status_code for answer in answers] == [422, 422]


def test_withdrawing_shows_what_will_happen_first(resident, archive) -> None:
    number, pin = register(resident)
    log_in(resident, number, pin)
    assert "запис Ви не отримаєте" in resident.get("/my/withdraw").text
    assert resident.post("/my/withdraw", data={}).status_code == 403
    page = resident.form("/my/withdraw")
    assert "Запит відкликано" in page.text
    assert resident.form("/my", "/my/withdraw").status_code == 409
    assert actions(archive, CustodyEvent.subject == f"request:{number}")[-1] == "request_withdrawn"


def test_a_refusal_names_its_reason_and_the_end_of_the_appeal(resident, operator) -> None:
    number, pin = register(resident)
    page = f"/staff/requests/{number}"
    empty = operator.form(page, f"{page}/decision", outcome="refused", reason=" ")
    assert empty.status_code == 422
    assert "її прочитає мешканець" in empty.text
    operator.form(page, f"{page}/decision", outcome="refused", reason="Присутність не підтверджено.")
    mine = log_in(resident, number, pin).text
    assert "Присутність не підтверджено." in mine
    assert "оскаржити рішення до 23.12.2026" in mine
    assert resident.get("/my/recording.mp4").status_code == 404


# --- the recording ------------------------------------------------------------------------------------


def test_the_resident_receives_exactly_the_approved_interval(resident, operator, archive, clock) -> None:
    number, pin = register(resident)
    log_in(resident, number, pin)
    assert resident.get("/my/recording.mp4").status_code == 404, "before the decision"
    approve(operator, number)
    mine = resident.get("/my").text
    assert "10:30:02" in mine
    assert "10:30:08" in mine

    whole = resident.get("/my/recording.mp4?download=1")
    assert whole.status_code == 200
    assert whole.headers["Content-Disposition"].startswith("attachment")
    start, end = (parse_instant(whole.headers[f"Protokol-{name}"]) for name in ("Start", "End"))
    assert at(10, 30, 2) <= start < end <= at(10, 30, 8)
    with av.open(io.BytesIO(whole.content)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == 6 * 25, "six seconds at 25 frames, cut on keyframes that begin each second"
    part = resident.get("/my/recording.mp4", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert resident.head("/my/recording.mp4").headers["ETag"] == whole.headers["ETag"]
    unchanged = resident.get("/my/recording.mp4", headers={"If-None-Match": whole.headers["ETag"]})
    assert unchanged.status_code == 304
    assert operator.get(f"/staff/requests/{number}/released.mp4").content == whole.content

    opened = [
        (row.actor, row.ground) for row in rows_of(archive, Viewing) if row.actor == f"request:{number}"
    ]
    assert opened == [(f"request:{number}", f"request:{number}")], "many requests, one viewing"
    assert "Ви" in resident.get("/my").text


def rows_of(archive, model) -> list:
    with archive.database.reading() as session:
        return list(session.scalars(select(model)))


def test_nobody_else_receives_it(url, resident, operator) -> None:
    number, _ = register(resident)
    approve(operator, number)
    with Client(base_url=url, follow_redirects=True) as other:
        assert other.get("/my/recording.mp4").status_code == 401
        log_in(other, *register(other, phone="050 000 00 00"))
        assert other.get("/my/recording.mp4").status_code == 404


def test_it_opens_past_the_due_midnight_for_its_request_only(url, resident, operator, archive, clock) -> None:
    number, pin = register(resident)
    approve(operator, number)
    clock.set_us = DUE + US_PER_MINUTE
    purge_at(archive, clock())
    log_in(resident, number, pin)
    whole = resident.get("/my/recording.mp4")
    assert whole.status_code == 200
    with av.open(io.BytesIO(whole.content)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6 * 25
    operator.log_in("operator")
    clip = "/api/v1/rooms/108/clip.mp4?from=2026-11-20T10:30:02%2B02:00&to=2026-11-20T10:30:08%2B02:00"
    assert operator.get(f"{clip}&ground=fault_check").status_code == 404
    page = f"/staff/requests/{number}"
    assert operator.form(page, f"{page}/close", reason="отримано").status_code == 200
    assert resident.get("/my/recording.mp4").status_code == 404
    assert "Розгляд завершено" in resident.get("/my").text


def test_access_ends_when_the_link_does(resident, operator, clock) -> None:
    number, pin = register(resident)
    approve(operator, number)
    clock.set_us = at(0, day=date(2026, 12, 24))
    log_in(resident, number, pin)
    assert resident.get("/my/recording.mp4").status_code == 404
    assert "Строк перегляду минув 23.12.2026" in resident.get("/my").text


# --- staff --------------------------------------------------------------------------------------------


def test_the_queue_shows_requests_without_a_room_first_and_how_many_a_contact_has(resident, operator) -> None:
    first, _ = register(resident)
    second, _ = register(resident)
    everywhere, _ = register(resident, room="unknown", phone="050 111 11 11")
    page = operator.get("/staff/requests").text
    assert page.index(everywhere) < page.index(first) < page.index(second)
    assert "усі кабінети" in page
    assert "2 відкриті запити цього контакту" in page
    assert "через 7 днів" in page
    found = operator.get(f"/staff/requests?number={first.replace('-', ' ')}")
    assert found.url.path == f"/staff/requests/{first}"
    assert "У номері помилка" in operator.get("/staff/requests?number=2026-000001-0").text


def test_nothing_can_be_opened_before_a_room_is_matched_or_beside_what_was_asked(resident, operator) -> None:
    number, _ = register(resident)
    page = f"/staff/requests/{number}"

    def footage(start_us: int, end_us: int) -> int:
        address = f"{page}/recording.mp4?start_us={start_us}&end_us={end_us}"
        return operator.get(address, headers={"Range": "bytes=0-0"}).status_code

    assert "<video" not in operator.get(page).text
    assert footage(at(10, 30), at(10, 31)) == 409
    operator.form(page, f"{page}/match", room="108")
    assert "<video" in operator.get(page).text
    assert footage(at(10, 30), at(10, 31)) == 206
    assert footage(at(8), at(8, 30)) == 403
    assert footage(at(10, 31), at(10, 30)) == 403
    assert "не більше трьох годин" in operator.get(f"{page}?start=08:00&end=09:00").text
    assert "не більше трьох годин" in operator.get(f"{page}?start=абв").text


def test_opening_is_recorded_with_its_ground_before_the_first_byte(resident, operator, archive) -> None:
    number, pin = register(resident)
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    assert "view_opened" not in actions(archive), "a page is not a look"
    operator.get(f"{page}/recording.mp4?start_us={at(10, 30)}&end_us={at(10, 31)}")
    (viewing,) = rows_of(archive, Viewing)
    assert viewing.ground == f"request:{number}"
    assert actions(archive).count("view_opened") == 1
    mine = log_in(resident, number, pin).text
    assert "оператор" in mine
    assert "за цим запитом" in mine


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("clerk", "identity", True),
        ("clerk", "pin", True),
        ("clerk", "match", False),
        ("clerk", "decision", False),
        ("auditor", "identity", False),
        ("auditor", "pin", False),
        ("reviewer", "match", True),
    ],
)
def test_each_role_does_its_own(url, resident, role, action, allowed) -> None:
    number, _ = register(resident)
    fields = {"basis": "document", "document": "id_card", "room": "108", "outcome": "refused", "reason": "ні"}
    with Client(base_url=url, follow_redirects=True) as client:
        client.log_in(role)
        page = f"/staff/requests/{number}"
        if role == "auditor":
            assert client.get(page).status_code == 403
            page = "/staff/board"
        answer = client.form(page, f"/staff/requests/{number}/{action}", **fields)
        assert answer.status_code == (200 if allowed else 403)
        if role == "clerk":
            shown = client.get(page).text
            assert "<video" not in shown
            assert "/match" not in shown


def test_a_clerk_reissues_a_pin_and_the_old_one_dies_with_its_session(url, resident) -> None:
    number, pin = register(resident)
    log_in(resident, number, pin)
    with Client(base_url=url, follow_redirects=True) as clerk:
        clerk.log_in("clerk")
        page = f"/staff/requests/{number}"
        assert clerk.form(page, f"{page}/pin", document="").status_code == 422
        shown = clerk.form(page, f"{page}/pin", document="id_card")
        fresh = dict(_DIGITS.findall(shown.text))["pin"].replace(" ", "")
        assert fresh != pin
    assert resident.get("/my").url.path == "/status", "the session of the old PIN is over"
    assert log_in(resident, number, pin).status_code == 422
    assert log_in(resident, number, fresh).url.path == "/my"


def test_a_step_that_is_wrong_keeps_what_was_typed(resident, operator) -> None:
    number, _ = register(resident)
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    for action, fields, words in (
        ("match", {"room": "999"}, "Виберіть кабінет"),
        ("interval", {"in": "10:30", "out": "10:20"}, 'value="10:20"'),
        ("interval", {"in": "06:00", "out": "06:10"}, "не належить до запиту"),
        ("identity", {"basis": "document", "note": "КС 123456"}, "номер документа"),
        ("identity", {"basis": "", "note": "прийшов сам"}, 'value="прийшов сам"'),
        ("decision", {"outcome": "released"}, "Спершу задайте початок і кінець"),
        ("decision", {"outcome": "refused", "reason": "я" * 1_000_000}, "Причина задовга"),
    ):
        answer = operator.form(page, f"{page}/{action}", **fields)
        assert answer.status_code == 422, action
        assert words in answer.text


def test_an_interval_without_footage_is_explained(resident, operator) -> None:
    number, _ = register(resident, time="14:00")
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    shown = operator.get(page)
    assert shown.status_code == 200
    assert "Запису за цей час немає" in shown.text
    assert "<video" not in shown.text


def test_an_approval_is_never_an_empty_promise(resident, operator, archive) -> None:
    number, _ = register(resident)
    page = f"/staff/requests/{number}"
    operator.form(page, f"{page}/match", room="108")
    operator.form(page, f"{page}/interval", **{"in": "10:50:00", "out": "10:55:00"})
    operator.form(page, f"{page}/identity", basis="known", note="")
    seen = dict(re.findall(r'name="(seen_\w+)" value="(\d+)"', operator.get(page).text))
    answer = operator.form(page, f"{page}/decision", outcome="released", reason="", **seen)
    assert answer.status_code == 422
    assert "У цих межах запису немає" in answer.text
    assert "request_approved" not in actions(archive)


def test_an_unknown_number_is_a_404(operator) -> None:
    assert operator.get("/staff/requests/2026-000077-1").status_code == 404


# --- the API ------------------------------------------------------------------------------------------


def test_programs_register_and_ask(resident, operator, archive) -> None:
    body = {
        "date": "2026-11-20",
        "about": "hour",
        "time": "10:30",
        "official": "відділ субсидій",
        "purpose": "скарга",
        "name": "Іван",
        "contact_kind": "email",
        "contact": "ivan@example.com",
    }
    answer = resident.post("/api/v1/requests", json=body)
    assert answer.status_code == 201, answer.text
    registered = answer.json()
    assert registered["answer_due"] == "2026-11-30"
    assert count(archive, Hold) == 2, "without a room, every room"
    asked = f"/api/v1/requests/{registered['number']}/status"
    state = resident.post(asked, json={"pin": registered["pin"]}).json()
    assert (state["status"], state["outcome"]) == ("registered", None)
    approve(operator, registered["number"])
    state = resident.post(asked, json={"pin": registered["pin"]}).json()
    assert (state["status"], state["outcome"]) == ("decided", "released")
    assert state["available_until"] == "2026-12-23"
    wrong = resident.post(asked, json={"pin": "00000000"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_pin")
    bad = resident.post("/api/v1/requests", json={**body, "date": "2026-10-22", "official": ""})
    assert bad.status_code == 422
    assert [fault["field"] for fault in bad.json()["faults"]] == ["date", "official"]
    assert resident.post("/api/v1/requests", json={**body, "purpose": "я" * 1_000_000}).status_code == 422


def test_the_applications_of_the_tests_are_what_the_pages_make(resident, archive) -> None:
    """The life of a request is tested on values; the form must give the same ones."""
    number, _ = register(resident)
    (request,) = rows_of(archive, Request)
    assert (request.number, request.room) == (number, APPLICATION.room)
    assert (request.asked_start_us, request.asked_end_us) == (
        application().interval.start_us,
        application().interval.end_us,
    )
