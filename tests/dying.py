"""A process that dies, without one: an exception at the points where it can be killed."""

from __future__ import annotations

from collections.abc import Iterable

from archive.local_store import LocalStore


class Killed(BaseException):
    """Stands for the death of the process: nothing between its place and the test runs on."""


class DyingStore(LocalStore):
    """Dies once: after the rename of an upload, or with all objects of a day but one unlinked."""

    def writer(self, name):
        writer = super().writer(name)
        commit = writer.commit

        def commit_and_die(new_name: str | None = None) -> None:
            commit(new_name)
            raise Killed

        writer.commit = commit_and_die
        return writer

    def delete(self, names: Iterable[str]) -> None:
        super().delete(sorted(names)[:-1])
        raise Killed
