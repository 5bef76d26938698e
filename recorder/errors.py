"""Errors of Protokol: one root, so that an edge can tell what it expected from what is a defect.

Exit codes of every command: 0 clean, 1 done with findings, 2 failed.
"""


class ProtokolError(Exception):
    """Something is wrong that a person can mend; the message names it and says what to do."""

    exit_code = 2


class ConfigurationError(ProtokolError):
    """A setting, a rooms file or a key file is wrong, missing or unreadable."""


class BadInstantError(ProtokolError):
    """A date or time that cannot be read, or bears no zone."""


class UnknownRoomError(ProtokolError):
    """No room has that id or label."""
