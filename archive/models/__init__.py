"""All tables of the council server, so that one Alembic sees them.

Times are UTC microseconds (`*_us`), dates are local ISO dates as text, intervals half-open.
"""

from archive.models.base import Base, metadata
from archive.models.custody import CustodyCheckpoint, CustodyEvent, CustodyHead, Viewing
from archive.models.figures import DayFigures
from archive.models.footage import (
    ChainLink,
    Derived,
    Gap,
    Mark,
    Quarantine,
    RoomDay,
    SampleIndex,
    Segment,
    SegmentManifestRow,
)
from archive.models.jobs import Job
from archive.models.people import LoginSession, Request, RequestPerson, User
from archive.models.retention import Certificate, Garbage, Hold, Tombstone
from archive.models.rooms import ArchiveMark, Enrolment, RoomStatus, RoomsVersion

__all__ = [
    "ArchiveMark",
    "Base",
    "Certificate",
    "ChainLink",
    "CustodyCheckpoint",
    "CustodyEvent",
    "CustodyHead",
    "DayFigures",
    "Derived",
    "Enrolment",
    "Gap",
    "Garbage",
    "Hold",
    "Job",
    "LoginSession",
    "Mark",
    "Quarantine",
    "Request",
    "RequestPerson",
    "RoomDay",
    "RoomStatus",
    "RoomsVersion",
    "SampleIndex",
    "Segment",
    "SegmentManifestRow",
    "Tombstone",
    "User",
    "Viewing",
    "metadata",
]
