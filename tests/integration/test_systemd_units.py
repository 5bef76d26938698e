"""The systemd units: systemd has nothing to say against them, and our programs can live under them."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import protokol
from recorder.settings import PREFIX, Settings, load_settings
from simulator.microphone import SimulatedMicrophone
from tests.integration import unit_sandbox

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "systemd"
PROGRAM = "/opt/protokol/.venv/bin/protokol"
AGENT, SERVER, RETENTION = (
    SYSTEMD / name
    for name in ("protokol-agent@.service", "protokol-server.service", "protokol-retention.service")
)
SERVICES = [AGENT, SERVER, RETENTION]
WORST_EXPOSURE = 2.0


def installed(units: list[Path], into: Path) -> list[Path]:
    """Copies whose ExecStart= exists here, because `verify` looks for it."""
    program = into / "protokol"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copies = []
    for unit in units:
        copy = into / unit.name
        copy.write_text(unit.read_text().replace(PROGRAM, str(program)))
        copies.append(copy)
    return copies


def verify(units: list[Path]) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return f"{done.stdout}{done.stderr}" + (f"exit {done.returncode}" if done.returncode else "")


def test_systemd_verifies_the_units_without_a_word(tmp_path: Path) -> None:
    units = sorted([*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.timer")])
    assert len(units) == 4
    assert verify(installed(units, tmp_path)) == ""


def test_verification_would_tell_a_misspelt_key(tmp_path: Path) -> None:
    (copy,) = installed([SERVER], tmp_path)
    copy.write_text(copy.read_text().replace("ProtectHome=", "ProtectHoem="))
    assert "ProtectHoem" in verify([copy])


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_the_exposure_is_low(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < WORST_EXPOSURE


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_units_start_commands_and_set_settings_that_exist(unit: Path) -> None:
    (command,) = unit_sandbox.values(unit, "ExecStart")
    assert command.removeprefix(PROGRAM + " ").removesuffix(" %i") in protokol._COMMANDS
    names = [value.partition("=")[0] for value in unit_sandbox.values(unit, "Environment")]
    ours = {name.removeprefix(PREFIX).lower() for name in names if name.startswith(PREFIX)}
    assert ours <= set(Settings.model_fields)
    assert "data_dir" in ours


@pytest.mark.parametrize("unit", [AGENT, SERVER], ids=lambda unit: unit.name)
def test_what_runs_all_day_is_watched_and_restarted_for_ever(unit: Path) -> None:
    expected = {"Type": "notify", "NotifyAccess": "main", "Restart": "always", "StartLimitIntervalSec": "0"}
    assert {key: unit_sandbox.values(unit, key) for key in expected} == {k: [v] for k, v in expected.items()}
    assert unit_sandbox.values(unit, "WatchdogSec")


def test_the_agent_gets_its_secrets_from_files_never_from_the_environment() -> None:
    assert unit_sandbox.values(AGENT, "LoadCredential") == ["agent-key:/etc/protokol/agents/%i.key"]
    environment = unit_sandbox.values(AGENT, "Environment")
    assert "PROTOKOL_AGENT_KEY_FILE=%d/agent-key" in environment
    assert "PROTOKOL_CAMERA_SECRETS_DIR=/etc/protokol/cameras" in environment


def test_the_agent_reaches_sound_cards_and_no_other_device() -> None:
    expected = {"DevicePolicy": "closed", "DeviceAllow": "char-alsa rw", "SupplementaryGroups": "audio"}
    assert {key: unit_sandbox.values(AGENT, key) for key in expected} == {
        key: [value] for key, value in expected.items()
    }
    assert unit_sandbox.values(AGENT, "PrivateDevices") == []


def populate(root: Path) -> None:
    """The users and directories that the units need, under another root."""
    (root / "etc").mkdir()
    for tool, options in (("systemd-sysusers", []), ("systemd-tmpfiles", ["--create"])):
        source = SYSTEMD / tool.replace("systemd-", "protokol.")
        done = subprocess.run(
            [tool, f"--root={root}", *options, str(source)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_server_and_the_agents_are_two_users(tmp_path: Path) -> None:
    populate(tmp_path)
    users = {
        line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()
    }
    assert set(users) == {"protokol", "protokol-agent"}
    assert all(user[6] == "/usr/sbin/nologin" for user in users.values())
    assert [unit_sandbox.values(unit, "User") for unit in SERVICES] == [
        ["protokol-agent"],
        ["protokol"],
        ["protokol"],
    ]
    assert users["protokol"][5] == "/var/lib/protokol"
    assert [unit_sandbox.values(unit, "StateDirectory") for unit in SERVICES] == [
        ["protokol-agent/%i"],
        ["protokol"],
        ["protokol"],
    ]


def test_secrets_lie_where_nobody_else_reads(tmp_path: Path) -> None:
    populate(tmp_path)
    groups = {
        line.split(":")[0]: line.split(":")[2] for line in (tmp_path / "etc/group").read_text().splitlines()
    }
    agents, cameras = ((tmp_path / "etc/protokol" / name).stat() for name in ("agents", "cameras"))
    assert (stat.S_IMODE(agents.st_mode), agents.st_uid) == (0o700, 0)
    # Files that root makes in it belong to the agents' group.
    assert (stat.S_IMODE(cameras.st_mode), cameras.st_uid) == (0o2750, 0)
    assert str(cameras.st_gid) == groups["protokol-agent"]


def elapses(expression: str, base: str, count: int) -> list[str]:
    done = subprocess.run(
        [
            "systemd-analyze",
            "calendar",
            f"--base-time={base}",
            f"--iterations={count}",
            expression,
        ],
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return re.findall(r"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.stdout)


def test_the_timer_elapses_after_each_midnight_in_kyiv() -> None:
    nightly, hourly = unit_sandbox.values(SYSTEMD / "protokol-retention.timer", "OnCalendar")
    # The clocks change on 29 March and on 25 October 2026.
    assert elapses(nightly, "2026-03-28 12:00:00 UTC", 3)[:3] == [
        "2026-03-28 22:05:00",
        "2026-03-29 21:05:00",
        "2026-03-30 21:05:00",
    ]
    assert elapses(nightly, "2026-10-24 12:00:00 UTC", 2)[:2] == [
        "2026-10-24 21:05:00",
        "2026-10-25 22:05:00",
    ]
    assert len(set(elapses(hourly, "2026-10-24 22:00:00 UTC", 24))) == 24
    assert unit_sandbox.values(SYSTEMD / "protokol-retention.timer", "Persistent") == ["true"]


def run_under(unit: Path, *command: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    last = [sys.executable, "-c", textwrap.dedent(code)] if code else list(command)
    return subprocess.run(
        [sys.executable, unit_sandbox.__file__, str(unit), *last],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


WHAT_THE_AGENT_DOES = """
    import ctypes, io, os, socket, ssl, subprocess, sys, tempfile, threading
    from fractions import Fraction
    import av, httpx, numpy, structlog, apscheduler.schedulers.background
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    import recorder.manifest, recorder.rooms, recorder.settings
    import recorder.capture.onvif  # as its child does

    # How far the clock can be trusted: refused, the agent would mark all footage as estimated.
    assert ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref((ctypes.c_byte * 512)())) >= 0
    Ed25519PrivateKey.generate().sign(b"manifest")
    with av.open(io.BytesIO(), "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        resampler = av.AudioResampler("fltp", "mono", 48000)
        sound = av.AudioFrame.from_ndarray(numpy.zeros((1, 8000), "int16"), "s16", "mono")
        sound.rate, sound.time_base, sound.pts = 8000, Fraction(1, 8000), 0
        for frame in resampler.resample(sound):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with tempfile.NamedTemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, 65536)
        file.write(b"x")
        file.flush()
        os.fdatasync(file.fileno())
        os.fsync(file.fileno())
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    socket.getaddrinfo("localhost", 80)
    ssl.create_default_context()
    httpx.Client().close()
    assert subprocess.check_output([sys.executable, "-c", "print(1)"]) == b"1\\n"
    print("alive")
"""
WHAT_THE_SERVER_DOES = """
    import os, sqlite3, subprocess, sys, tempfile, threading
    import alembic, argon2, av, babel, fastapi, jinja2, segno, sqlalchemy, uvicorn
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with tempfile.TemporaryDirectory() as directory:
        engine = sqlalchemy.create_engine(f"sqlite:///{directory}/archive.sqlite")
        with engine.begin() as connection:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        engine.dispose()
        os.rename(f"{directory}/archive.sqlite", f"{directory}/other.sqlite")
        descriptor = os.open(directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    hasher = argon2.PasswordHasher()
    assert hasher.verify(hasher.hash("password"), "password")
    AESGCM(bytes(32)).encrypt(bytes(12), b"footage", None)
    assert subprocess.check_output([sys.executable, "-c", "print(1)"]) == b"1\\n"
    print("alive")
"""


@pytest.mark.parametrize(
    ("unit", "code"),
    [(AGENT, WHAT_THE_AGENT_DOES), (SERVER, WHAT_THE_SERVER_DOES), (RETENTION, WHAT_THE_SERVER_DOES)],
    ids=["agent", "server", "retention"],
)
def test_our_libraries_live_under_the_units_rules(unit: Path, code: str) -> None:
    done = run_under(unit, code=code)
    assert (done.stdout, done.returncode) == ("alive\n", 0), done.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        ("import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "PermissionError"),
        ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "not supported by protocol"),
        ("import time; time.clock_settime(time.CLOCK_REALTIME, time.time())", "PermissionError"),
        ("import os; os.chroot('/')", "PermissionError"),
        ("import os; os.setpriority(os.PRIO_PROCESS, 0, 5)", "PermissionError"),
    ],
    ids=["writable code", "netlink", "set the clock", "chroot", "priority"],
)
def test_the_rules_refuse_what_our_programs_never_do(unit: Path, attempt: str, refusal: str) -> None:
    done = run_under(unit, code=attempt)
    assert done.returncode == 1
    assert refusal in done.stderr


def test_a_microphone_is_recorded_under_the_agents_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks by cffi, as sounddevice makes them, would need the writable code that is refused above."""
    with SimulatedMicrophone() as simulated:
        for name, value in simulated.environment.items():
            monkeypatch.setenv(name, value)
        done = run_under(
            AGENT,
            code="""
                from recorder.capture.microphone_probe import probe_microphone
                from recorder.logging import configure_logging
                from recorder.rooms import Microphone

                configure_logging()
                print(probe_microphone(Microphone(device="room-mic"), 0.2)["device"])
            """,
        )
    assert (done.stdout, done.returncode) == ("room-mic\n", 0), done.stderr


def test_a_command_of_ours_runs_under_the_rules() -> None:
    done = run_under(AGENT, sys.executable, "-m", "protokol", "rooms", "check", "recorder/rooms.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "7 rooms" in done.stdout


def install(into: Path, *roles: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SYSTEMD / "install.sh"), *roles],
        env={"DESTDIR": str(into), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def placed(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.is_symlink()}


def test_installation_places_what_the_units_need(tmp_path: Path) -> None:
    done = install(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert placed(tmp_path) == {
        "etc/protokol/protokol.toml",
        "etc/protokol/rooms.yaml",
        "etc/systemd/system/protokol-agent@.service",
        "etc/systemd/system/protokol-retention.service",
        "etc/systemd/system/protokol-retention.timer",
        "etc/systemd/system/protokol-server.service",
        "usr/lib/sysusers.d/protokol.conf",
        "usr/lib/tmpfiles.d/protokol.conf",
        "usr/local/bin/protokol",
    }


def test_installation_again_keeps_what_staff_have_edited(tmp_path: Path) -> None:
    install(tmp_path)
    edited, unit = (
        tmp_path / "etc/protokol/rooms.yaml",
        tmp_path / "etc/systemd/system/protokol-server.service",
    )
    edited.write_text("# ours\n")
    unit.write_text("# old\n")
    assert install(tmp_path).returncode == 0
    assert edited.read_text() == "# ours\n"
    assert unit.read_text() == SERVER.read_text()


def test_a_room_host_gets_the_agent_alone(tmp_path: Path) -> None:
    assert install(tmp_path, "agent").returncode == 0
    units = {name for name in placed(tmp_path) if name.startswith("etc/")}
    assert units == {"etc/protokol/protokol.toml", "etc/systemd/system/protokol-agent@.service"}


def test_an_unknown_role_is_told(tmp_path: Path) -> None:
    done = install(tmp_path, "sever")
    assert done.returncode == 2
    assert "unknown role 'sever'; write server, agent" in done.stderr
    assert placed(tmp_path) == set()


def test_the_installed_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOKOL_SETTINGS_FILE", str(SYSTEMD / "protokol.toml"))
    assert load_settings().rooms == Path("/etc/protokol/rooms.yaml")
