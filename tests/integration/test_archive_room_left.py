"""A room that has left the rooms file: its footage outlives it, and its agent is told to stop."""

from __future__ import annotations

import json
import os
from datetime import date

import pytest

from archive import door, room_days, search
from archive.configuration import is_settled
from archive.models import RoomDay
from recorder.errors import ConfigurationError, UnknownRoomError
from recorder.instants import local_date, now_us
from recorder.intervals import Interval
from recorder.rooms import RoomConfiguration
from recorder.working_hours import next_window
from tests.footage import ROOMS, SECOND, FakeAgent, make_archive

pytestmark = pytest.mark.both_databases

NOW = now_us() // SECOND * SECOND
START = NOW - 3600 * SECOND
WITHOUT_108 = "\n".join(line for line in ROOMS.splitlines() if 'id: "108"' not in line) + "\n"


@pytest.fixture
def archive(tmp_path, database_url):
    made = make_archive(tmp_path, database_url=database_url)
    yield made
    made.close()


@pytest.fixture
def agent(archive):
    """Of room 108, which has left after a first segment and before the second one arrives."""
    agent = FakeAgent(archive)
    agent.record(START)
    return agent


def leave(archive) -> None:
    archive.settings.rooms.write_text(WITHOUT_108, "utf-8")
    assert archive.sync_rooms_file(NOW)


def test_a_file_that_is_gone_leaves_the_rooms_in_force(archive):
    """For the moment of an editor's rename there is none: the shipped rooms must not take its place."""
    archive.settings.rooms.unlink()
    with pytest.raises(ConfigurationError, match=r"rooms\.yaml"):
        archive.sync_rooms_file(NOW)
    assert not archive.settings.rooms.exists()
    with archive.database.reading() as session:
        assert archive.configurations.current(session)[0] == 1


def test_a_file_is_settled_some_moments_after_it_was_written(tmp_path):
    path = tmp_path / "rooms.yaml"
    assert is_settled(path, NOW)
    path.write_text("half of", "utf-8")
    os.utime(path, ns=(NOW * 1000, NOW * 1000))
    assert not is_settled(path, NOW + SECOND)
    assert is_settled(path, NOW + 3 * SECOND)
    assert is_settled(path, NOW - 3600 * SECOND)


def test_its_footage_still_opens(archive, agent):
    leave(archive)
    interval = Interval(START, START + 2 * SECOND)
    with archive.database.reading() as session:
        found = door.resolve(
            session, archive.configurations, archive.store, "108", interval, door.Ground("audit"), NOW
        )
        assert len(found) == 1
        later = Interval(START + 10 * SECOND, START + 12 * SECOND)
        with pytest.raises(door.NoFootageError):
            door.resolve(
                session, archive.configurations, archive.store, "108", later, door.Ground("audit"), NOW
            )


def test_what_its_agent_has_spooled_is_taken_in_also_for_days_nobody_knew(archive, agent):
    spooled = agent.segment(START - 5 * 86_400 * SECOND)
    leave(archive)
    assert agent.send(*spooled, now_us=NOW).outcome == "accepted"


def test_it_is_found_by_its_id_and_a_room_that_never_was_is_not(archive, agent):
    leave(archive)
    with archive.database.reading() as session:
        assert search.room_id(session, archive.configurations, "108") == "108"
        assert search.room_id(session, archive.configurations, "228-А") == "228-a"
        with pytest.raises(UnknownRoomError):
            search.room_id(session, archive.configurations, "999")
        with pytest.raises(UnknownRoomError):
            archive.configurations.last_known(session, "999")


def test_another_room_that_takes_its_label_is_not_it(archive, agent):
    renamed = ROOMS.replace('id: "108"', "id: hall-108")
    archive.settings.rooms.write_text(renamed, "utf-8")
    archive.sync_rooms_file(NOW)
    with archive.database.reading() as session:
        assert search.room_id(session, archive.configurations, "108") == "108"
        assert archive.configurations.last_known(session, "108").version == 1
        assert search.room_id(session, archive.configurations, "hall-108") == "hall-108"


def test_its_agent_is_handed_a_configuration_without_windows(archive, agent):
    leave(archive)
    with archive.database.reading() as session:
        signed = archive.configurations.signed(session, "108", NOW)
    handed = RoomConfiguration.model_validate(json.loads(signed.configuration))
    assert (handed.room.id, handed.version) == ("108", 2)
    assert next_window(handed, NOW) is None


def test_its_days_have_no_windows_from_then_on(archive, agent):
    today = local_date(NOW, "Europe/Kyiv").isoformat()
    with archive.database.transaction() as session:
        room_days.lock(session, archive.configurations, [("108", today), ("228-a", today)])
    leave(archive)
    with archive.database.reading() as session:
        ends = {
            room: max(end for _, end in json.loads(session.get_one(RoomDay, (room, today)).windows))
            for room in ("108", "228-a")
        }
        facts = search.coverage(session, archive.configurations, "108", today, NOW + 3600 * SECOND)
    assert ends["108"] == NOW < ends["228-a"]
    assert all(gap.end_us <= NOW for gap in facts.gaps)
    assert date.fromisoformat(facts.date)
