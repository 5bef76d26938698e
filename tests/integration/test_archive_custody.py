"""The custody chain: any edit, cut or swap is found."""

from __future__ import annotations

import pytest

from archive import custody
from archive.custody import Event
from tests import attacker
from tests.footage import make_archive

pytestmark = pytest.mark.both_databases


@pytest.fixture
def archive(tmp_path, database_url):
    archive = make_archive(tmp_path, database_url=database_url)
    with archive.database.transaction() as session:
        for number in range(5):
            event = Event("tested", "system", number, room="108", details={"number": number, "мова": "так"})
            custody.append(session, event)
    yield archive
    archive.close()


def findings(archive):
    with archive.database.reading() as session:
        return list(custody.verify(session))


def test_an_untouched_chain_is_clean(archive):
    assert findings(archive) == []


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE custody_event SET actor = 'user:9' WHERE sequence = 4",
        "UPDATE custody_event SET details = '{\"number\":9}' WHERE sequence = 4",
        "UPDATE custody_event SET at_us = at_us + 1 WHERE sequence = 2",
        "DELETE FROM custody_event WHERE sequence = 4",
        "DELETE FROM custody_event WHERE sequence = (SELECT MAX(sequence) FROM custody_event)",
        "DELETE FROM custody_event",
        "UPDATE custody_event SET sequence = CASE sequence WHEN 3 THEN -4 WHEN 4 THEN -3 ELSE sequence END",
        "UPDATE custody_head SET sequence = 1",
    ],
)
def test_every_attack_is_found(archive, attack):
    attacker.attack(archive, attack)
    assert findings(archive) != []


def test_an_event_of_a_transaction_that_failed_leaves_no_trace(archive):
    def work() -> None:
        with archive.database.transaction() as session:
            custody.append(session, Event("never", "system", 9))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert findings(archive) == []
