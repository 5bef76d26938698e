"""What two servers of one archive share: one key to sign with, one rooms file in force."""

from __future__ import annotations

import os

import pytest

from archive.server_key import load_or_make_server_key
from archive.system import Archive
from recorder.errors import ConfigurationError
from recorder.instants import US_PER_MINUTE, now_us
from tests.footage import ROOMS, make_archive


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "server.key"
    made = load_or_make_server_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_make_server_key(path, make=False).private_bytes_raw() == made.private_bytes_raw()
    assert [each.name for each in path.parent.iterdir()] == ["server.key"]


def on_another_host(settings, **more):
    """Settings of a second server: everything that is named is shared."""
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir / "second",
            "database_url": settings.database,
            "keys_url": settings.keys,
            "store_url": settings.store,
            "rooms_file": settings.rooms,
            "master_key_file": settings.data_dir / "master.key",
            **more,
        }
    )


def test_a_second_server_makes_no_key_of_its_own(tmp_path):
    first = make_archive(tmp_path)
    first.close()
    settings = first.settings
    elsewhere = on_another_host(settings)
    with pytest.raises(ConfigurationError, match="PROTOKOL_SERVER_KEY_FILE"):
        Archive.open(elsewhere)
    second = Archive.open(elsewhere.model_copy(update={"server_key_file": settings.server_key}))
    assert second.server_key.private_bytes_raw() == first.server_key.private_bytes_raw()
    second.close()


def test_a_rooms_file_that_was_left_behind_does_not_undo_the_other_servers_change(tmp_path):
    first = make_archive(tmp_path)
    copy = tmp_path / "second.yaml"
    copy.write_text(ROOMS, "utf-8")
    second = Archive.open(
        on_another_host(first.settings, rooms_file=copy, server_key_file=first.settings.server_key)
    )
    changed = ROOMS.replace("00:00-24:00", "09:00-18:00")
    first.settings.rooms.write_text(changed, "utf-8")
    later_us = now_us() + US_PER_MINUTE
    assert first.sync_rooms_file(later_us)
    assert not second.sync_rooms_file(later_us)
    assert "older than the rooms in force" in second.rooms_file_problem(later_us)
    # Brought up to date, it is in force already; written anew after that, it is a decision to go back.
    copy.write_text(changed, "utf-8")
    assert not second.sync_rooms_file(later_us)
    assert second.rooms_file_problem(later_us) == ""
    copy.write_text(ROOMS, "utf-8")
    os.utime(copy, (later_us / 1e6 + 60,) * 2)
    assert second.sync_rooms_file(later_us + 2 * US_PER_MINUTE)
    for each in (first, second):
        each.close()
