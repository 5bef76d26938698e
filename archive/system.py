"""The archive as one thing: settings, database, store, configuration and the server's key together."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import ballast
from archive.configuration import (
    Configurations,
    is_in_force,
    is_settled,
    is_stale,
    read_live_file,
    seed_live_file,
)
from archive.database import Database, DatabaseError
from archive.inserting import insert_missing
from archive.models import ArchiveMark, RoomsVersion, Segment
from archive.opening_keys import open_keys
from archive.postgresql import serialise
from archive.records import Records
from archive.sealed import SealedStore
from archive.server_key import load_or_make_server_key
from archive.store import RECORDS, Store, open_raw_store
from recorder.errors import ConfigurationError
from recorder.instants import now_us
from recorder.rooms import parse_rooms
from recorder.settings import Settings

_KIND = "kind"
_KEYS = "keys"
# Stands while archive.reindex is under way, and after one that was cut off.
REBUILDING = "rebuilding"


@dataclass(frozen=True, slots=True)
class Archive:
    """What every floor above works on. Open it once a process; safe to share between threads."""

    settings: Settings
    database: Database
    store: SealedStore
    configurations: Configurations
    server_key: Ed25519PrivateKey
    records: Records

    @classmethod
    def open(cls, settings: Settings, *, migrate: bool = False, rebuild: bool = False) -> Archive:
        """Opens the archive that the settings name, reading the live rooms file when it has changed.

        With `migrate`, brings the schemas up to date first; else raises DatabaseError where they are not.
        `rebuild`: for archive.reindex alone, no rooms are put in force. Raises ConfigurationError (a missing
        or wrong master key among others), StoreError, DatabaseError for an empty index over a store with
        objects and for one that was rebuilt in part, RoomsFileError (only where no version is in force yet).
        """
        database = Database(settings.database)
        ballast.make_way(database)
        if migrate:
            database.migrate()
        else:
            database.require_current_schema()
        with database.reading() as session:
            mark = session.get(ArchiveMark, _KIND)
            if not rebuild and session.get(ArchiveMark, REBUILDING) is not None:
                raise DatabaseError(
                    "the index was rebuilt in part only: name a new database in PROTOKOL_DATABASE_URL and "
                    "begin `protokol archive reindex` again"
                )
            has_rows = session.scalar(select(Segment.id).limit(1)) is not None
            begun = _has_rooms(session)
        raw = open_raw_store(settings)
        if not begun and not rebuild:
            # Before any key is made: keys begun beside a lost index would hide that its own are lost too.
            _require_new_store(database, raw)
        server_key = load_or_make_server_key(settings.server_key, make=not begun)
        demo = settings.demo if mark is None else mark.value == "demo"
        keys = open_keys(
            settings, demo=demo, has_footage=lambda: has_rows or _has_footage(raw), create=migrate
        )
        store = SealedStore(raw, keys)
        records = Records(raw, server_key)
        configurations = Configurations(server_key, records)
        archive = cls(settings, database, store, configurations, server_key, records)
        archive._mark_kind()
        archive._require_same_keys()
        if not begun and not rebuild:
            # Only here: a file that is missing later must not be replaced by rooms that are not this house's.
            seed_live_file(settings.rooms)
            archive.sync_rooms_file(now_us())
        return archive

    def sync_rooms_file(self, at_us: int) -> bool:
        """Publish the live rooms file if its text is not the version in force; True when it was published.
        A copy that another server's change has left behind is not.

        Raises RoomsFileError for a wrong file, ConfigurationError for one that cannot be read: the version
        in force stays.
        """
        path = self.settings.rooms
        text = read_live_file(path)
        with self.database.reading() as session:
            if is_in_force(session, text) or is_stale(session, path, text):
                return False
        with self.database.transaction() as session:
            serialise(session, "configuration")
            if is_in_force(session, text) or is_stale(session, path, text):
                return False
            self.configurations.publish(session, text, "system", at_us)
        return True

    def rooms_file_problem(self, at_us: int) -> str:
        """Why the live rooms file as it stands will not come into force, or nothing."""
        path = self.settings.rooms
        try:
            if not is_settled(path, at_us):
                return ""
            text = read_live_file(path)
            with self.database.reading() as session:
                if is_in_force(session, text):
                    return ""
                if is_stale(session, path, text):
                    return f"{path} is older than the rooms in force: copy it from the other server"
            parse_rooms(text, path.name)
        except ConfigurationError as error:
            return str(error)
        return ""

    def _mark_kind(self) -> None:
        """An archive is a demo from its first opening on, or never."""
        with self.database.reading() as session:
            if session.get(ArchiveMark, _KIND):
                return
        with self.database.transaction() as session:
            # Two server processes may open a new archive at once: the first one decides.
            insert_missing(
                session, ArchiveMark(name=_KIND, value="demo" if self.settings.demo else "council")
            )

    def _require_same_keys(self) -> None:
        """Raises ConfigurationError where another key database belongs to this index: what was sealed by one
        could not be opened, nor its keys destroyed, by the other.
        """
        begun = str(self.store.keys.begun_us)
        with self.database.reading() as session:
            mark = session.get(ArchiveMark, _KEYS)
        if mark is None:
            with self.database.transaction() as session:
                insert_missing(session, ArchiveMark(name=_KEYS, value=begun))
                mark = session.get_one(ArchiveMark, _KEYS)
        if mark.value != begun:
            self.close()
            raise ConfigurationError(
                "the key database is not the one of this index: name it in PROTOKOL_KEYS_URL (all servers of "
                "one archive share one), or restore it from its backup"
            )

    def is_demo(self, session: Session) -> bool:
        """Whether `--now` may be believed here."""
        mark = session.get(ArchiveMark, _KIND)
        return mark is not None and mark.value == "demo"

    def timezone(self, session: Session) -> str:
        return self.configurations.current(session)[1].council.timezone

    def close(self) -> None:
        self.store.keys.close()
        self.database.dispose()


def _has_rooms(session: Session) -> bool:
    """Whether a rooms file was ever in force: from then on the archive has agents and signatures."""
    return session.scalar(select(RoomsVersion.version).limit(1)) is not None


def _has_footage(raw: Store) -> bool:
    return any(not name.startswith(f"{RECORDS}/") for name in raw.names())


def _require_new_store(database: Database, raw: Store) -> None:
    """Raises DatabaseError where the index is empty and the store is not: a new archive begun there would
    take the old one's footage for a stranger's.
    """
    if next(raw.names(), None) is None:
        return
    # Another server may have begun this one meanwhile: what it puts there comes after its commit.
    with database.reading() as session:
        begun = _has_rooms(session)
    if not begun:
        raise DatabaseError(
            "the index is empty, but the store has objects of an archive: restore the database from its "
            "backup, or rebuild the index with `protokol archive reindex`"
        )
