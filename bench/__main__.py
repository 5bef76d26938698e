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
    "demo": "bench.demo",
    "faults": "bench.faults",
    "kill": "bench.kill",
    "partition": "bench.partition",
    "seal": "bench.seal",
    "sync": "bench.sync",
}


@click.command()
@click.argument("name", type=click.Choice(sorted(_BENCHMARKS)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--write", is_flag=True, help="`faults` only: write docs/fault-matrix.md.")
@click.option(
    "--e2e-seconds",
    type=click.FloatRange(min=0),
    help="`sync` only: of recording in real time; 0: none. Default 60.",
)
def main(name: str, as_json: bool, write: bool, e2e_seconds: float | None) -> None:
    """Measure NAME side by side with its peer."""
    if write and name != "faults":
        raise click.UsageError("--write belongs to `faults`")
    if e2e_seconds is not None and name != "sync":
        raise click.UsageError("--e2e-seconds belongs to `sync`")
    options: dict[str, Any] = {"write": True} if write else {}
    if e2e_seconds is not None:
        options["e2e_seconds"] = e2e_seconds
    results = importlib.import_module(_BENCHMARKS[name]).run(**options)
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False))
    else:
        for key, value in results.items():
            click.echo(f"{key}: {value}")


if __name__ == "__main__":
    main()
