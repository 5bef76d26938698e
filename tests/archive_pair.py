"""A real archive and its model side by side, and deaths of the process that serves it.

A death is an exception at a point where a process can be killed, after which the archive is opened anew.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

from archive.sealed import SealedStore
from archive.system import Archive
from tests.archive_model import Model
from tests.dying import DyingStore, Killed
from tests.footage import FakeAgent


class Pair:
    """An archive with one agent a room, and its model. `seen` counts what has happened, by name."""

    def __init__(self, archive: Archive, rooms: Sequence[str]) -> None:
        self.archive = archive
        self.rooms = tuple(rooms)
        self.model = Model()
        self.agents = {room: FakeAgent(archive, room) for room in rooms}
        self.seen: Counter[str] = Counter()

    def dying(self, action: Callable[[], object]) -> bool:
        """Whether the process was killed in `action`; then the archive is opened anew, as after a restart."""
        try:
            action()
        except Killed:
            self.reopen()
            return True
        return False

    def with_dying_store(self, action: Callable[[], object]) -> bool:
        """The same, with a store that dies once of itself."""
        whole = self.archive
        dying = SealedStore(DyingStore(whole.store.raw.root), whole.store.keys)
        self.archive = dataclasses.replace(whole, store=dying)
        died = False
        try:
            died = self.dying(action)
        finally:
            if not died:
                self.archive = whole
        return died

    def reopen(self) -> None:
        """A restart: uploads under way are lost, their temporary objects swept."""
        self.archive.close()
        self.archive = Archive.open(self.archive.settings)
        self.archive.store.sweep(alone=True)
        for agent in self.agents.values():
            agent.archive = self.archive
