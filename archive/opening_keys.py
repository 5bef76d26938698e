"""Finding the keys of an archive at its opening, or refusing to open it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from archive.database import DatabaseError
from archive.key_database import KeyDatabase
from archive.keys import Keys, is_begun
from archive.master_key import HOW_TO_MAKE, MasterKey, make_master_key, read_master_key
from recorder.errors import ConfigurationError
from recorder.settings import Settings


def open_keys(settings: Settings, *, demo: bool, has_footage: Callable[[], bool], create: bool) -> Keys:
    """The keys that the settings name; with `create`, their database's tables are made where missing.
    `has_footage` is asked where no key was ever made.

    A demo archive makes its own master key beside its data. Raises ConfigurationError when the master key
    is missing, of another size or another one, or when there is footage and no key of it; DatabaseError.
    """
    database = KeyDatabase(settings.keys)
    if create:
        database.create()
    elif not database.exists():
        raise DatabaseError("the key database is missing or has no tables; run `protokol archive migrate`")
    database.settle()
    if is_begun(database):
        return Keys(database, read_master_key(master_key_file(settings, demo=demo)))
    if has_footage():
        # New keys would hide that the old ones are lost, until somebody needs the footage.
        raise ConfigurationError(
            "the archive has footage, but its key database is empty: restore the key database from its "
            "backup (PROTOKOL_KEYS_URL names it)"
        )
    return Keys(database, _first_master_key(settings, demo=demo))


def master_key_file(settings: Settings, *, demo: bool) -> Path:
    """Raises ConfigurationError where none is named, but in a demo archive."""
    if settings.master_key_file is not None:
        return settings.master_key_file
    if demo:
        return settings.data_dir / "master.key"
    raise ConfigurationError(
        f"no master key: make one ({HOW_TO_MAKE}), keep a copy of it in a safe place, and name the file in "
        "PROTOKOL_MASTER_KEY_FILE"
    )


def _first_master_key(settings: Settings, *, demo: bool) -> MasterKey:
    path = master_key_file(settings, demo=demo)
    if demo and not path.exists():
        make_master_key(path)
    return read_master_key(path)
