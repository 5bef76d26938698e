"""The key that an archive signs with is one, on however many servers."""

from __future__ import annotations

import pytest

from archive.server_key import load_or_make_server_key
from archive.system import Archive
from recorder.errors import ConfigurationError
from tests.footage import make_archive


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "server.key"
    made = load_or_make_server_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_make_server_key(path, make=False).private_bytes_raw() == made.private_bytes_raw()
    assert [each.name for each in path.parent.iterdir()] == ["server.key"]


def test_a_second_server_makes_no_key_of_its_own(tmp_path):
    first = make_archive(tmp_path)
    first.close()
    settings = first.settings
    elsewhere = settings.model_copy(
        update={
            "data_dir": tmp_path / "second",
            "database_url": settings.database,
            "keys_url": settings.keys,
            "store_url": settings.store,
            "rooms_file": settings.rooms,
            "master_key_file": tmp_path / "master.key",
        }
    )
    with pytest.raises(ConfigurationError, match="PROTOKOL_SERVER_KEY_FILE"):
        Archive.open(elsewhere)
    second = Archive.open(elsewhere.model_copy(update={"server_key_file": settings.server_key}))
    assert second.server_key.private_bytes_raw() == first.server_key.private_bytes_raw()
    second.close()
