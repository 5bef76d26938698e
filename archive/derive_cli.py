"""`protokol archive derive`: thumbnails and loudness that are missing, altered or had failed."""

from __future__ import annotations

import click

from archive.derive import make_anew
from archive.system import Archive
from recorder.settings import load_settings


@click.command()
def derive() -> None:
    """Look at all thumbnails and loudness; a server makes anew what is missing, altered or had failed.

    Footage is neither changed nor in danger. The server begins within a quarter of an hour.
    """
    archive = Archive.open(load_settings())
    broken, failed = make_anew(archive)
    archive.close()
    click.echo(f"to be made anew: {broken} missing or altered, {failed} that had failed", err=True)
