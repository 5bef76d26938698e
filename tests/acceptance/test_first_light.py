"""The whole way of the footage, with the installed commands and real processes.

A simulated camera is recorded, found, watched, asked for by a resident, released by an operator in
a browser, downloaded, and destroyed but for what a hold keeps; then the hold ends and that goes too.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from recorder.instants import (
    US_PER_SECOND,
    format_instant,
    local_date,
    parse_instant,
    to_datetime,
)
from recorder.working_hours import due_us
from simulator.measure import measure_file
from tests.browser.looking import DESKTOP
from tests.demo import Demo
from tests.processes import protokol, protokol_json, wait_for

ZONE = "Europe/Kyiv"
FPS, LOOP_FRAMES = 25, 1500
FRAME_US = US_PER_SECOND // FPS
# The camera hands a frame over when it is whole, and the network floor is unknown without calibration.
CAPTURE_LATENCY_FRAMES = 3


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    running = Demo(tmp_path_factory.mktemp("first-light"))
    try:
        yield running
    finally:
        children = psutil.Process(running.process.popen.pid).children(recursive=True)
        code = running.close()
    assert code == 0, running.process.said()
    assert [child for child in children if child.is_running()] == []


@pytest.fixture(scope="module")
def recorded(demo):
    """An interval of at least 25 s that the archive has, as `(start_us, end_us)`."""

    def long_enough():
        found = protokol(
            demo.env, "archive", "search", "--room", "108", "--json",
            "--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z", expect=None,
        )  # fmt: skip
        segments = json.loads(found.stdout or '{"segments": []}')["segments"]
        runs: dict[str, list[dict]] = {}
        for segment in segments:
            runs.setdefault(segment["run"], []).append(segment)
        for run in runs.values():
            start_us, end_us = run[0]["start_us"], run[-1]["end_us"]
            if end_us - start_us >= 25 * US_PER_SECOND:
                return start_us, end_us
        return None

    return wait_for(long_enough, 130, "25 s of room 108 are in the archive")


def clip_path(start_us, end_us, ground):
    return f"/api/v1/rooms/108/clip.mp4?from={span(start_us)}&to={span(end_us)}&ground={ground}"


def span(instant_us):
    return format_instant(instant_us)


def assert_plays(path: Path):
    """Ffmpeg decodes every frame and sample without a word."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def assert_right_frames(path: Path, start_us: int):
    """Bar codes run without a hole and begin with the frame that the camera captured at `start_us`."""
    seen = measure_file(path)
    assert seen.decode_errors == 0
    numbers = seen.frame_numbers
    expected = [(numbers[0] + n) % LOOP_FRAMES for n in range(len(numbers))]
    assert list(numbers) == expected
    captured = start_us // FRAME_US % LOOP_FRAMES
    late = (captured - numbers[0] + LOOP_FRAMES // 2) % LOOP_FRAMES - LOOP_FRAMES // 2
    assert 0 <= late <= CAPTURE_LATENCY_FRAMES
    return seen


def test_a_clip_by_url_has_the_right_frames_and_its_sound_in_time(demo, recorded, tmp_path):
    start_us, end_us = recorded
    auditor = demo.staff("auditor")
    answer = auditor.get(clip_path(start_us, end_us, "audit"))
    assert answer.status_code == 200, answer.text
    path = tmp_path / "clip.mp4"
    path.write_bytes(answer.content)
    assert_plays(path)
    seen = assert_right_frames(path, parse_instant(answer.headers["Protokol-Start"]))
    assert len(seen.av_offsets_ms) >= 20
    assert max(abs(offset) for offset in seen.av_offsets_ms) <= 20
    etag = answer.headers["ETag"]
    part = auditor.get(clip_path(start_us, end_us, "audit"), headers={"Range": "bytes=1000-200999"})
    assert (part.status_code, part.headers["ETag"]) == (206, etag)
    assert part.content == answer.content[1000:201_000]
    unchanged = auditor.get(clip_path(start_us, end_us, "audit"), headers={"If-None-Match": etag})
    assert unchanged.status_code == 304


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("from=2026-11-20T10:00:00&to=2026-11-20T11:00:00", 400, "zone"),
        ("from=2026-11-20T11:00:00Z&to=2026-11-20T10:00:00Z", 400, ""),
        ("from=2099-11-20T10:00:00Z&to=2099-11-20T11:00:00Z", 404, "future"),
        ("from=2020-11-20T10:00:00Z&to=2020-11-20T11:00:00Z", 404, "expired"),
    ],
)
def test_a_clip_that_cannot_be_says_why(demo, query, status, said):
    answer = demo.staff("auditor").get(f"/api/v1/rooms/108/clip.mp4?{query}&ground=audit")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text


def register(page, demo, start_us):
    """A resident's way through the pages; number and PIN from the receipt."""
    moment = to_datetime(start_us, ZONE)
    page.goto(f"{demo.url}/request?room=108")
    page.click("text=Отримати запис своєї зустрічі")
    page.fill("#date", moment.date().isoformat())
    page.fill("#time", moment.strftime("%H:%M"))
    page.check("input[name=about][value=half_hour]")
    page.click("button[value=next]:visible:not(.visually-hidden)")
    page.fill("#official", "Олена Коваль, відділ субсидій")
    page.fill("#purpose", "Хочу перевірити, що мені обіцяли.")
    page.click("button[value=next]:visible:not(.visually-hidden)")
    page.fill("#name", "Марія Шевченко")
    page.check("input[name=contact_kind][value=person]")
    page.click("button[value=next]:visible:not(.visually-hidden)")
    page.click("button[value=send]")
    page.wait_for_url("**/request/receipt")
    number = page.inner_text("[data-test=number]")
    return number, page.inner_text("[data-test=pin]").replace(" ", "")


def approve(page, demo, number, start_us, end_us):
    """An operator's way from the queue to the decision."""
    page.goto(f"{demo.url}/staff/login")
    page.fill("#name", "operator")
    page.fill("#password", demo.logins["operator"])
    page.click("main button[type=submit]")
    page.goto(f"{demo.url}/staff/requests")
    page.click(f"text={number}")
    page.check("#room-108")
    page.click("#match button")
    page.fill("#in", to_datetime(start_us, ZONE).strftime("%H:%M:%S"))
    page.fill("#out", to_datetime(end_us, ZONE).strftime("%H:%M:%S"))
    page.click("#interval > button")
    page.check("#identity input[type=radio] >> nth=0")
    page.click("#identity button")
    page.check("#outcome-released")
    page.click("#decision button")
    page.wait_for_load_state()


def download(page, demo, number, pin):
    page.goto(f"{demo.url}/status?number={number}")
    page.fill("#number", number)
    page.fill("#pin", pin)
    page.click("form[action='/status'] button:visible")
    page.wait_for_url("**/my**")
    with page.expect_download() as coming:
        page.click("text=Завантажити запис")
    return Path(coming.value.path())


def test_asked_for_released_destroyed_but_for_the_hold_and_then_that_too(demo, recorded, browser, tmp_path):
    start_us, end_us = recorded
    # Whole seconds, well inside: what lies around stands for the neighbour's meeting.
    in_us = (start_us // US_PER_SECOND + 6) * US_PER_SECOND
    out_us = in_us + 10 * US_PER_SECOND
    with browser.new_context(viewport=DESKTOP, locale="uk-UA", accept_downloads=True) as context:
        context.set_default_timeout(15_000)
        resident = context.new_page()
        number, pin = register(resident, demo, start_us)
        assert re.fullmatch(r"\d{8}", pin)
        held = protokol_json(demo.env, "hold", "list")
        assert [hold["room"] for hold in held] == ["108"]
        with browser.new_context(viewport=DESKTOP, locale="uk-UA") as console:
            approve(console.new_page(), demo, number, in_us, out_us)
        file = tmp_path / "released.mp4"
        file.write_bytes(download(resident, demo, number, pin).read_bytes())
        resident.goto(f"{demo.url}/my")
        assert "Хто переглядав" in resident.content()
    assert_plays(file)
    seen = measure_file(file)
    first, last = in_us // FRAME_US % LOOP_FRAMES, out_us // FRAME_US % LOOP_FRAMES
    approved = {(first + n) % LOOP_FRAMES for n in range((last - first) % LOOP_FRAMES)}
    # Labelled by the archive's clock, which runs the capture latency late: never a frame after the end.
    early = {(first - n) % LOOP_FRAMES for n in range(1, CAPTURE_LATENCY_FRAMES + 1)}
    assert set(seen.frame_numbers) <= approved | early
    # At most a keyframe interval is lost at the start by snapping inward.
    assert len(seen.frame_numbers) >= 10 * FPS - 26
    assert max(abs(offset) for offset in seen.av_offsets_ms) <= 20

    past_due_us = due_us(local_date(end_us, ZONE), 1, ZONE) + 3600 * US_PER_SECOND
    purge_all_but_the_hold(demo, number, in_us, out_us, past_due_us)
    release_and_purge_the_rest(demo, in_us, out_us, past_due_us)


def run_retention(demo, past_due_us):
    """Plan first, then run what was planned."""
    plan = protokol_json(demo.env, "retention", "plan", "--now", span(past_due_us))
    now = ("--now", span(past_due_us), "--confirm", plan["digest"])
    protokol_json(demo.env, "retention", "run", *now)
    return plan


def purge_all_but_the_hold(demo, number, in_us, out_us, past_due_us):
    run_retention(demo, past_due_us)
    auditor, operator = demo.staff("auditor"), demo.staff("operator")
    for client, ground in ((auditor, "audit"), (operator, "fault_check")):
        refused = client.get(clip_path(in_us, out_us, ground))
        assert refused.status_code == 404, refused.text
        assert refused.json()["reason"] == "expired"
    opened = operator.get(clip_path(in_us, out_us, f"request:{number}"))
    assert opened.status_code == 200, opened.text
    stats = protokol_json(demo.env, "archive", "stats")
    # Whole segments are kept: the approved ten seconds lie in one, or over a cut in two.
    assert stats["segments"] in {1, 2}
    assert protokol_json(demo.env, "retention", "certificates", expect=0)
    protokol(demo.env, "archive", "check", "--deep")


def release_and_purge_the_rest(demo, in_us, out_us, past_due_us):
    [held] = protokol_json(demo.env, "hold", "list")
    assert (parse_instant(held["from"]), parse_instant(held["to"])) == (in_us, out_us)
    protokol(demo.env, "hold", "release", str(held["id"]), "--reason", "Строк доступу минув")
    assert protokol_json(demo.env, "hold", "list") == []
    run_retention(demo, past_due_us + US_PER_SECOND)
    assert protokol_json(demo.env, "archive", "stats")["segments"] == 0
    assert list((demo.data / "footage").rglob("*.mp4")) == []
    gone = demo.staff("auditor").get(clip_path(in_us, out_us, "audit"))
    assert (gone.status_code, gone.json()["reason"]) == (404, "purged")
    protokol(demo.env, "archive", "check", "--deep")
    assert_every_step_is_in_the_log(demo)


def assert_every_step_is_in_the_log(demo):
    auditor = demo.staff("auditor")
    assert auditor.get("/staff/custody?room=108&lang=en").status_code == 200
    export = auditor.get("/staff/custody.json?machines=1").text
    for action in (
        "segment_accepted", "view_opened", "request_registered", "request_matched", "interval_set",
        "identity_recorded", "request_approved", "hold_placed", "hold_narrowed", "hold_released", "purged",
    ):  # fmt: skip
        assert f'"{action}"' in export, action
