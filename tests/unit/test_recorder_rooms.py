"""rooms.yaml: what is accepted, and how each mistake is told."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recorder.errors import ConfigurationError, UnknownRoomError
from recorder.lookalikes import fold
from recorder.rooms import (
    Camera,
    Microphone,
    Problem,
    Room,
    RoomConfiguration,
    RoomsFileError,
    load_rooms,
    parse_rooms,
    shipped_rooms_text,
)

HEAD = """\
council: {name: {uk: Львівська міська рада, en: Lviv City Council}, timezone: Europe/Kyiv}
retention: {months: 1}
hours:
  mon-fri: ["08:00-12:00", "13:00-17:00"]
"""
ROOM = """\
rooms:
  - id: 228-a
    label: 228-А
    floor: 2
    cameras:
      - {url: "rtsp://camera/stream1"}
"""
GOOD = HEAD + ROOM


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(RoomsFileError) as caught:
        parse_rooms(text)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return caught.value.problems


def only_problem(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def with_room(**changes: str) -> str:
    """GOOD with lines of its room replaced or added; the room's keys stand in lines 6 to 9, then 11 on."""
    lines = {"id": "228-a", "label": "228-А", "floor": "2", "cameras": '[{url: "rtsp://camera/stream1"}]'}
    body = [f"{key}: {value}" for key, value in {**lines, **changes}.items()]
    return HEAD + "rooms:\n  - " + "\n    ".join(body) + "\n"


def test_the_shipped_file_has_the_seven_rooms() -> None:
    rooms = parse_rooms(shipped_rooms_text())
    assert [room.id for room in rooms.rooms] == ["108", "116", "202", "228-a", "230", "330", "512"]
    assert rooms.room("228-a").label == "228-\u0410"
    assert rooms.council.timezone == "Europe/Kyiv"
    assert rooms.retention.months == 1
    assert all(len(room.cameras) == 1 and room.cameras[0].credentials for room in rooms.rooms)


@pytest.mark.parametrize("name", ["228-a", "228-А", "228-A", "228-а", "228\u2013А", " 228-a "])
def test_a_room_is_found_by_whatever_a_person_types(name: str) -> None:
    assert parse_rooms(shipped_rooms_text()).room(name).id == "228-a"


def test_a_hall_is_found_by_its_label() -> None:
    rooms = parse_rooms(with_room(id="konferents-zal", label="конференц-зал", floor="5"))
    assert rooms.room("Конференц-зал").id == "konferents-zal"
    # All o, e, p, h typed as Latin ones.
    assert rooms.room("кoнфepeнц-зaл").id == "konferents-zal"


def test_an_unknown_room_is_told_with_the_known_ones() -> None:
    with pytest.raises(UnknownRoomError, match="no room '999'; the rooms are 108, 116, 202, 228-А, 230"):
        parse_rooms(shipped_rooms_text()).room("999")


def test_a_configuration_is_the_rooms_own_over_the_councils() -> None:
    text = (
        HEAD
        + "calendar: {2026-12-31: closed, 2027-01-01: closed}\n"
        + ROOM
        + '    hours: {sat: ["09:00-10:00"], sun: closed}\n'
        + '    calendar: {2027-01-01: ["22:00-02:00"], 2026-01-02: closed}\n'
    )
    made = parse_rooms(text).configuration("228-А", 7)
    assert made.version == 7
    assert made.hours == {"sat": ("09:00-10:00",), "sun": ()}
    assert made.calendar == {
        "2026-01-02": "closed",
        "2026-12-31": "closed",
        "2027-01-01": ("22:00-02:00",),
    }
    assert RoomConfiguration.model_validate_json(made.model_dump_json()) == made


def test_without_hours_of_its_own_a_room_has_the_councils() -> None:
    made = parse_rooms(GOOD).configuration("228-a", 1)
    assert made.hours == {"mon-fri": ("08:00-12:00", "13:00-17:00")}
    assert made.calendar == {}
    assert made.council_name_uk == "Львівська міська рада"


@pytest.mark.parametrize("absent", ["absent", "", "~", "null"])
def test_no_microphone_means_the_cameras_own_sound(absent: str) -> None:
    assert parse_rooms(with_room(microphone=absent)).rooms[0].microphone is None


def test_a_room_with_a_microphone_alone_is_recorded() -> None:
    room = parse_rooms(with_room(cameras="[]", microphone="{device: USB Boundary, channels: 2}")).rooms[0]
    assert room.microphone is not None
    assert (room.cameras, room.microphone.device, room.microphone.channels) == ((), "USB Boundary", 2)


@pytest.mark.parametrize(("written", "meant"), [("2", 2), ('"2"', 2), ("hw:2", "hw:2"), ("2i2", "2i2")])
def test_a_microphone_may_be_named_by_its_number(written: str, meant: str | int) -> None:
    room = parse_rooms(with_room(microphone=f"{{device: {written}}}")).rooms[0]
    assert room.microphone == Microphone(device=meant)
    assert Room.model_validate_json(room.model_dump_json()) == room


def test_a_stream_comes_by_tcp_unless_told_otherwise() -> None:
    text = with_room(cameras='[{url: "rtsp://c/1"}, {name: door, url: "rtsp://c/2", transport: udp}]')
    made = parse_rooms(text).configuration("228-a", 1)
    assert [camera.transport for camera in made.room.cameras] == ["tcp", "udp"]
    assert RoomConfiguration.model_validate_json(made.model_dump_json()) == made


def test_scalars_are_the_text_that_stands_there() -> None:
    """YAML 1.1 reads `012` as ten, `no` as False and `22:30-…` as it likes."""
    text = with_room(id="012", label="012", also_recorded_by="[no, 1.10]", hours="{mon: [22:30-24:00]}")
    room = parse_rooms(text.replace("uk: Львівська міська рада", "uk: no")).rooms[0]
    assert (room.id, room.also_recorded_by) == ("012", ("no", "1.10"))
    assert room.hours == {"mon": ("22:30-24:00",)}


@pytest.mark.parametrize(
    ("changes", "line", "key", "message"),
    [
        ({"id": "228-\u0430"}, 6, "rooms[0].id", "Cyrillic 'а' (U+0430)"),
        ({"id": "Room 5"}, 6, "rooms[0].id", "cannot stand in a URL"),
        ({"id": '"-a"'}, 6, "rooms[0].id", "cannot stand in a URL"),
        ({"label": "228-A"}, 7, "rooms[0].label", "Latin 'A' (U+0041) where Cyrillic 'А' (U+0410)"),
        ({"label": "конфеpенц-зал"}, 7, "rooms[0].label", "Latin 'p' (U+0070)"),
        ({"label": '""'}, 7, "rooms[0].label", "is empty; fill it in"),
        ({"floor": "другий"}, 8, "rooms[0].floor", "must be a whole number"),
        ({"flor": "2"}, 10, "rooms[0].flor", "unknown key; did you mean floor?"),
        ({"camera": "x"}, 10, "rooms[0].camera", "did you mean cameras?"),
        ({"cameras": "rtsp://camera"}, 9, "rooms[0].cameras", "must be a list"),
        ({"cameras": "[]"}, 6, "rooms[0]", "neither a camera nor a microphone"),
        ({"cameras": "[{name: main}]"}, 9, "rooms[0].cameras[0]", "either `url` or `onvif`"),
        (
            {"cameras": '[{url: "rtsp://c/1", transport: UPD}]'},
            9,
            "rooms[0].cameras[0].transport",
            "'UPD' is no way to fetch a stream; write tcp (the usual) or udp",
        ),
        (
            {"cameras": '[{url: "rtsps://c/1", transport: udp}]'},
            9,
            "rooms[0].cameras[0]",
            "rtsps:// keeps all in its one connection",
        ),
        (
            {"cameras": '[{url: "rtsp://c/1"}, {url: "rtsp://c/2"}]'},
            9,
            "rooms[0].cameras",
            "two cameras are named 'main'",
        ),
        ({"cameras": '[{url: "http://c/1"}]'}, 9, "rooms[0].cameras[0].url", "rtsp://host/path"),
        ({"cameras": '[{url: "rtsp://c:99999/1"}]'}, 9, "rooms[0].cameras[0].url", "rtsp://host/path"),
        ({"cameras": '[{url: "rtsp://[/1"}]'}, 9, "rooms[0].cameras[0].url", "rtsp://host/path"),
        ({"cameras": '[{onvif: "http://x"}]'}, 9, "rooms[0].cameras[0].onvif", "is no host"),
        ({"cameras": '[{onvif: "cam:99999"}]'}, 9, "rooms[0].cameras[0].onvif", "is no host"),
        ({"microphone": "{device: x, channels: 0}"}, 10, "rooms[0].microphone.channels", "greater than"),
        ({"microphone": "{device: 1000}"}, 10, "rooms[0].microphone.device", "its name or its number"),
        ({"microphone": '{device: " "}'}, 10, "rooms[0].microphone.device", "its name or its number"),
        ({"microphone": "{device: [x]}"}, 10, "rooms[0].microphone.device", "its name or its number"),
        (
            {"microphone": "{device: x, channel: 1}"},
            10,
            "rooms[0].microphone.channel",
            "did you mean channels?",
        ),
        ({"hours": '{mon: ["8:00-12:00"]}'}, 10, "rooms[0].hours.mon[0]", "write it as 08:00-12:00"),
        ({"hours": '{mon: ["08:00-24:30"]}'}, 10, "rooms[0].hours.mon[0]", "is no window"),
        ({"hours": '{mon: ["24:00-02:00"]}'}, 10, "rooms[0].hours.mon[0]", "is no window"),
        ({"hours": '{mon: ["08:00-08:00"]}'}, 10, "rooms[0].hours.mon[0]", "write 00:00-24:00"),
        ({"hours": '{fri-: ["08:00-09:00"]}'}, 10, "rooms[0].hours.fri-", "names no days"),
        ({"hours": '{пн: ["08:00-09:00"]}'}, 10, "rooms[0].hours.пн", "names no days"),
        ({"hours": '{mon: ["08:00-12:00", "11:59-13:00"]}'}, 10, "rooms[0].hours.mon", "overlap"),
        ({"hours": '{mon: ["22:00-02:00", "23:00-23:30"]}'}, 10, "rooms[0].hours.mon", "overlap"),
        ({"hours": "{mon-tue: [], tue: []}"}, 10, "rooms[0].hours", "tue stands in 'mon-tue' and in 'tue'"),
        ({"hours": "{mon: closed}"}, 10, "rooms[0].hours", "no windows at all"),
        ({"hours": "{mon: }"}, 10, "rooms[0].hours.mon", "must be a list"),
        ({"calendar": "{2026-02-31: closed}"}, 10, "rooms[0].calendar.2026-02-31", "is no date"),
        ({"calendar": "{20260228: closed}"}, 10, "rooms[0].calendar.20260228", "is no date"),
        ({"calendar": "{2026-02-28: zu}"}, 10, "rooms[0].calendar.2026-02-28", "must be closed or a list"),
        ({"calendar": "{2026-02-28: }"}, 10, "rooms[0].calendar.2026-02-28", "must be closed or a list"),
        ({"calendar": "{2026-02-28: [1]}"}, 10, "rooms[0].calendar.2026-02-28[0]", "is no window"),
    ],
)
def test_a_wrong_room_is_told_by_line_and_key(
    changes: dict[str, str], line: int, key: str, message: str
) -> None:
    problem = only_problem(with_room(**changes))
    assert (problem.line, problem.key) == (line, key)
    assert message in problem.message


@pytest.mark.parametrize(
    ("before", "after", "line", "key", "message"),
    [
        ("Europe/Kyiv", "Europe/Kiyv", 1, "council.timezone", "no time zone 'Europe/Kiyv'"),
        ("Europe/Kyiv", "../../etc/passwd", 1, "council.timezone", "no time zone"),
        ("Europe/Kyiv", "Europe", 1, "council.timezone", "no time zone 'Europe'"),
        (", en: Lviv City Council", "", 1, "council.name.en", "is missing"),
        ("retention: {months: 1}", "retention: {months: 0}", 2, "retention.months", "greater than"),
        ("retention: {months: 1}", "retention: {moths: 1, months: 1}", 2, "retention.moths", "months?"),
        ("retention: {months: 1}", "retention: 1", 2, "retention", "must be a mapping"),
        (
            "retention: {months: 1}",
            "retentoin: 1\nretention: {months: 1}",
            2,
            "retentoin",
            "did you mean retention",
        ),
        ("retention: {months: 1}", "council: x\nretention: {months: 1}", 2, "council", "already in line 1"),
        ("floor: 2", "floor: 2\n    floor: 3", 9, "rooms[0].floor", "stands already in line 8"),
    ],
)
def test_a_wrong_head_is_told_by_line_and_key(
    before: str, after: str, line: int, key: str, message: str
) -> None:
    assert before in GOOD
    problem = only_problem(GOOD.replace(before, after, 1))
    assert (problem.line, problem.key) == (line, key)
    assert message in problem.message


@pytest.mark.parametrize("rooms", ["rooms: []\n", "rooms: {}\n", "rooms:\n", ""])
def test_a_file_without_rooms_is_refused(rooms: str) -> None:
    assert only_problem(HEAD + rooms).key == "rooms"


@pytest.mark.parametrize(
    "url", ["rtsp://admin:s3cret@camera/1", "rtsp://admin@camera/1", "rtsp://:s3cret@c/"]
)
def test_a_password_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    problem = only_problem(with_room(cameras=f'[{{url: "{url}"}}]'))
    assert "name a secret in `credentials`" in problem.message
    assert "s3cret" not in str(problem)
    assert "admin" not in str(problem)


def test_a_password_as_the_name_of_a_secret_is_not_repeated() -> None:
    problem = only_problem(with_room(cameras='[{url: "rtsp://c/1", credentials: "admin:s3cret"}]'))
    assert problem.key == "rooms[0].cameras[0].credentials"
    assert "s3cret" not in str(problem)


@pytest.mark.parametrize(
    ("second", "key"),
    [
        ("{id: 228-a, label: 229, floor: 2, cameras: [{url: 'rtsp://c/1'}]}", "rooms[1].id"),
        ("{id: '229', label: 228-А, floor: 2, cameras: [{url: 'rtsp://c/1'}]}", "rooms[1].label"),
        ("{id: '229', label: 228-а, floor: 2, cameras: [{url: 'rtsp://c/1'}]}", "rooms[1].label"),
    ],
)
def test_two_rooms_that_read_alike_are_refused(second: str, key: str) -> None:
    problem = only_problem(f"{GOOD}  - {second}\n")
    assert (problem.line, problem.key) == (11, key)
    assert "of the room in line 6 read alike" in problem.message


def test_all_problems_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = textwrap.dedent("""\
        council: {name: {uk: Рада}, timezone: Europe/Kiyv}
        retention: {months: one}
        hours:
          mon-thu: ["08:00-12:00", "8:00"]
          mon-thu: []
        calendar: {2026-02-31: closed}
        rooms:
          - {id: 228-а, label: 228-A, floor: 2, cameras: [{url: "rtsp://a:b@c/x"}]}
          - {id: 228-a, label: "229", floor: 2, cameras: [{url: "rtsp://c/x"}], note: x}
        """)
    assert [(problem.line, problem.key) for problem in problems(text)] == [
        (1, "council.name.en"),
        (1, "council.timezone"),
        (2, "retention.months"),
        (4, "hours.mon-thu[1]"),
        (5, "hours.mon-thu"),
        (6, "calendar.2026-02-31"),
        (8, "rooms[0].id"),
        (8, "rooms[0].label"),
        (8, "rooms[0].cameras[0].url"),
        (9, "rooms[1].note"),
        (9, "rooms[1].id"),
    ]


def test_a_problem_reads_like_a_compilers() -> None:
    text = GOOD.replace("floor: 2", "floor: x")
    with pytest.raises(
        RoomsFileError, match=r"^/etc/rooms\.yaml:8: rooms\[0\]\.floor: must be a whole number; "
    ):
        parse_rooms(text, "/etc/rooms.yaml")


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_rooms(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_rooms(tmp_path)
    legacy = tmp_path / "cp1251.yaml"
    legacy.write_bytes("council:\n  кабінет".encode("cp1251"))
    with pytest.raises(RoomsFileError, match=r"cp1251\.yaml:2: not UTF-8"):
        load_rooms(legacy)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"# " + b"x" * 10_000_000)
    with pytest.raises(RoomsFileError, match="over 256 KB"):
        load_rooms(huge)


def test_a_file_with_a_byte_order_mark_and_windows_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rooms.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_rooms(path).rooms[0].label == "228-А"


def test_values_built_in_code_meet_the_same_checks() -> None:
    with pytest.raises(ValidationError, match="either `url` or `onvif`"):
        Camera(name="main")
    room = Room(id="108", label="108", floor=1, cameras=(Camera(url="rtsp://c/1"),))
    with pytest.raises(ValidationError, match="frozen"):
        room.floor = 2  # type: ignore[misc]


TOKENS = [
    *"-?:[]{},'\"|>&*!#%@~",
    *(
        "- ",
        "? ",
        ": ",
        "\n",
        "\n  ",
        "&x ",
        "*x",
        "!!str ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "<<: ",
        "\t",
        "\r",
    ),
    *(
        "rooms: ",
        "id: 1",
        "hours: ",
        "calendar: ",
        "2026-01-01: closed",
        "cameras: ",
        "\x85",
        "\u2028",
        "null",
    ),
]


def test_a_comment_with_a_strange_line_break_does_not_stop_the_reader() -> None:
    """Ruamel's round-trip parser raises NotImplementedError for it."""
    assert problems("cameras: #rooms:id: 1\u2028~#\n\n~calendar: {rooms:]")


@given(st.lists(st.sampled_from(TOKENS), max_size=30).map("".join))
def test_no_yaml_makes_it_fail_otherwise(text: str) -> None:
    with pytest.raises(RoomsFileError):
        parse_rooms(text)


@given(st.text(max_size=400))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    with pytest.raises(RoomsFileError):
        parse_rooms(text)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from([*"[]{}:-\"'&*!|>#%@`\t\n,?", "\x00", "А", ""]))
def test_no_slip_of_the_finger_makes_it_fail_otherwise(position: int, typed: str) -> None:
    text = GOOD[:position] + typed + GOOD[position + 1 :]
    found: tuple[Problem, ...] | None = None
    try:
        parse_rooms(text)
    except RoomsFileError as error:
        found = error.problems
    lines = text.count("\n") + 2
    assert found is None or (found and all(1 <= each.line <= lines and each.message for each in found))


@given(st.text(alphabet="АВЕІКМНОРСТУХабвгґABEIKMHOPCTYXr -\u2013\u20111230", max_size=20))
def test_folding_is_stable_and_blind_to_case_and_look_alikes(text: str) -> None:
    twins = str.maketrans("АВЕІКМНОРСТУХ", "ABEIKMHOPCTYX")
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper()) == fold(text.lower()) == fold(text.upper().translate(twins))
