"""A password costs a fifth of a second of CPU on purpose, and some hundred tests log in.

Processes that tests start hash as the product does.
"""

from __future__ import annotations

from argon2 import PasswordHasher

from retrieval_api import accounts
from retrieval_api.requests import keys

# What the product uses: tests/unit/test_requests_keys.py looks at it.
OF_PASSWORDS, OF_PINS = accounts._hasher, keys._HASHER


def cheapen() -> None:
    """From now on, in this process."""
    accounts._hasher = keys._HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
