"""What every test relies on."""

from __future__ import annotations

from hypothesis import settings

# A deadline per example measures the load of the machine, not the code under test.
settings.register_profile("protokol", deadline=None, print_blob=True)
settings.load_profile("protokol")
