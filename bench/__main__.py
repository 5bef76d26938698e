"""`python -m bench NAME --json`: one object on stdout, every ratio with its two sides."""

from __future__ import annotations

import importlib
import json
from typing import Any

import click

# name → module with `run() -> dict`
_BENCHMARKS = {
    "cameras": "bench.cameras",
    "capture": "bench.capture",
    "clip": "bench.clip",
    "day": "bench.day",
    "demo": "bench.demo",
    "faults": "bench.faults",
    "index": "bench.index",
    "ingest": "bench.ingest",
    "kill": "bench.kill",
    "month": "bench.month",
    "partition": "bench.partition",
    "powercut": "bench.powercut",
    "purge": "bench.purge",
    "seal": "bench.seal",
    "sync": "bench.sync",
}
# option → the benchmarks whose run() takes it
_TAKEN_BY = {
    "write": {"faults"},
    "e2e_seconds": {"sync"},
    "cuts": {"powercut"},
    "rows": {"index", "purge"},
    "url": {"index", "month", "purge"},
}


@click.command()
@click.argument("name", type=click.Choice(sorted(_BENCHMARKS)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--write", is_flag=True, default=None, help="`faults` only: write docs/fault-matrix.md anew.")
@click.option(
    "--e2e-seconds",
    type=click.FloatRange(min=0),
    help="`sync` only: of recording in real time; 0: none. Default 60.",
)
@click.option("--cuts", type=click.IntRange(min=1), help="`powercut` only: how many. Default 200.")
@click.option("--rows", type=click.IntRange(min=1), help="`index`, `purge`: of segments. Default 10 million.")
@click.option(
    "--url",
    help="`index`, `month`: an empty PostgreSQL database; `purge`: one beside which it makes its own.",
)
def main(name: str, *, as_json: bool, **given: Any) -> None:
    """Measure NAME side by side with its peer."""
    options = {option: value for option, value in given.items() if value is not None}
    for option in options:
        if name not in _TAKEN_BY[option]:
            owners = " and ".join(f"`{owner}`" for owner in sorted(_TAKEN_BY[option]))
            raise click.UsageError(f"--{option.replace('_', '-')} belongs to {owners}")
    results = importlib.import_module(_BENCHMARKS[name]).run(**options)
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False))
    else:
        for key, value in results.items():
            click.echo(f"{key}: {value}")


if __name__ == "__main__":
    main()
