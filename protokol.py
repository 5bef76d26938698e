"""The front door: one `protokol` command. Sub-commands are imported only when they are called, so
that `protokol agent run` on a room host never touches a database or a web framework.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import click

from recorder.errors import ProtokolError

# path of words → "module:attribute" (a click command), and the line shown in the list of commands.
_COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("simulator.demo:demo", "Simulated rooms, agents, server and retention, all at once."),
    "rooms check": ("recorder.rooms_cli:rooms_check", "Check a rooms file."),
    "rooms hours": ("recorder.rooms_cli:rooms_hours", "Recording windows of a room on a date."),
    "rooms discover": ("recorder.discover_cli:rooms_discover", "Cameras of this network, by ONVIF."),
    "agent enroll": ("archive.cli:agent_enroll", "Make a room's key and token (on the server)."),
    "agent run": ("recorder.cli:agent_run", "Record a room and ship its segments."),
    "agent probe": ("recorder.cli:agent_probe", "Open a room's cameras and say what they send."),
    "agent calibrate": (
        "recorder.calibrate_cli:agent_calibrate",
        "Find a room's offset of sound and picture.",
    ),
    "serve": ("retrieval_api.cli:serve", "The council server: ingest, pages, API."),
    "archive search": ("archive.cli:search", "Segments and gaps of a room."),
    "archive export": ("archive.cli:export", "Write a clip to a file."),
    "archive check": ("archive.cli:check", "Compare index and objects both ways."),
    "archive reindex": ("archive.cli:reindex", "Rebuild the index from objects and keys."),
    "archive migrate": ("archive.cli:migrate", "Bring the database to this version's schema."),
    "archive jobs": ("archive.jobs_cli:jobs", "Work that waits, runs, or has failed for good."),
    "archive derive": ("archive.derive_cli:derive", "Missing or failed thumbnails are made anew."),
    "archive quarantine": ("archive.quarantine_cli:quarantine", "What was refused, and why."),
    "archive rotate-key": ("archive.keys_cli:rotate_key", "Wrap all keys by another master key."),
    "archive stats": ("archive.cli:stats", "How much is kept, since when."),
    "retention plan": ("retention.cli:plan", "What is due, and what holds keep."),
    "retention run": ("retention.cli:run", "Destroy what is due."),
    "retention certificates": ("retention.cli:certificates", "Certificates of purge."),
    "retention certificate": ("retention.cli:certificate_file", "One certificate of purge, as a file."),
    "hold add": ("retention.cli:hold_add", "Keep an interval of a room from purge."),
    "hold release": ("retention.cli:hold_release", "End a hold by a decision."),
    "hold confirm": ("retention.cli:hold_confirm", "Confirm the holds of a rebuilt index."),
    "hold list": ("retention.cli:hold_list", "Holds in force."),
    "user add": ("retrieval_api.cli:user_add", "Add a member of staff."),
    "user list": ("retrieval_api.cli:user_list", "Staff and their roles."),
    "user disable": ("retrieval_api.cli:user_disable", "Disable a log-in and end its sessions."),
    "user reset": ("retrieval_api.cli:user_reset", "Give a member of staff a new password."),
    "simulator": ("simulator.cli:simulator", "A simulated camera, with faults on command."),
}


class _Lazy(click.Group):
    """A group whose members are modules' attributes, imported when one is called."""

    def __init__(self, *args: Any, path: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        prefix = f"{self.path} " if self.path else ""
        return list(dict.fromkeys(k[len(prefix) :].split()[0] for k in _COMMANDS if k.startswith(prefix)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        path = f"{self.path} {cmd_name}".strip()
        if path in _COMMANDS:
            module, attribute = _COMMANDS[path][0].split(":")
            command = getattr(importlib.import_module(module), attribute)
            return command if isinstance(command, click.Command) else None
        if any(known.startswith(path + " ") for known in _COMMANDS):
            return _Lazy(name=cmd_name, path=path, help=f"Commands about {cmd_name}.")
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list is written from the table above: help must not import what it names."""
        del ctx
        prefix = f"{self.path} " if self.path else ""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(k[len(prefix) :], line) for k, (_, line) in _COMMANDS.items() if k.startswith(prefix)]
            )


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="protokol")
def cli() -> None:
    """Protokol: meeting-room recording of a city hall."""


def main() -> None:
    """Exit codes: 0 clean, 1 done with findings, 2 failed. Results on stdout, everything else on stderr."""
    try:
        cli(prog_name="protokol")
    except ProtokolError as error:
        click.echo(f"protokol: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception:  # noqa: BLE001 (the outermost edge: nothing of it is hidden)
        # Python's own exit code for a defect is 1, which here means "done, with findings".
        traceback.print_exc()
        sys.exit(2)


if __name__ == "__main__":
    main()
