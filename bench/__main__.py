"""`python -m bench NAME --json`: one object on stdout, every ratio with its two sides."""

from __future__ import annotations

import importlib
import json

import click

# name → module with `run() -> dict`
_BENCHMARKS = {"capture": "bench.capture", "demo": "bench.demo", "sync": "bench.sync"}


@click.command()
@click.argument("name", type=click.Choice(sorted(_BENCHMARKS)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def main(name: str, as_json: bool) -> None:
    """Measure NAME side by side with its peer."""
    results = importlib.import_module(_BENCHMARKS[name]).run()
    if as_json:
        click.echo(json.dumps(results))
    else:
        for key, value in results.items():
            click.echo(f"{key}: {value}")


if __name__ == "__main__":
    main()
