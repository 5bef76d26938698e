"""What the database's errors tell, for they are logged."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from archive.models import RoomsVersion


@pytest.mark.both_databases
def test_an_error_of_the_database_repeats_nothing_of_the_row(archive):
    again = RoomsVersion(version=1, text="", sha256="", author="Іваненко", created_us=0)
    with archive.database.transaction() as session:
        session.add(again)
        with pytest.raises(IntegrityError) as caught:
            session.flush()
        session.rollback()
    assert "Іваненко" not in str(caught.value)
