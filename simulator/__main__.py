"""`python -m simulator`: the simulator without the rest of the product."""

from __future__ import annotations

import sys

import click

from recorder.errors import ProtokolError
from simulator.cli import simulator

try:
    simulator(prog_name="simulator")
except ProtokolError as error:
    click.echo(f"simulator: {error}", err=True)
    sys.exit(error.exit_code)
