"""`protokol serve` and `protokol user …`. Results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from archive.cli import actor
from archive.models import User
from archive.system import Archive
from recorder.instants import format_instant, now_us
from recorder.logging import configure_logging
from recorder.settings import load_settings
from retrieval_api import accounts
from retrieval_api.auth import ROLES


@click.command()
@click.option("--host", help="address to listen on; default: LISTEN_HOST")
@click.option("--port", type=click.IntRange(0, 65_535), help="port, 0 for a free one; default: LISTEN_PORT")
def serve(host: str | None, port: int | None) -> None:
    """The council server: takes segments in, serves the pages and the API, destroys what is due.

    Brings the database's schema up to date first. SIGTERM and Ctrl-C end it in order.
    """
    # The whole web application: nothing that `protokol user` should wait for.
    from retrieval_api import server  # noqa: PLC0415

    configure_logging(json=not sys.stderr.isatty())
    settings = load_settings()
    sock = server.listen(host or settings.listen_host, settings.listen_port if port is None else port)
    server.run(Archive.open(settings, migrate=True), sock)


@click.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES))
@click.option("--password-stdin", is_flag=True, help="read the password from stdin in place of making one")
def user_add(name: str, role: str, password_stdin: bool) -> None:
    """Add a member of staff. Prints the password that was made, once; it is stored nowhere."""
    password = _password(from_stdin=password_stdin)
    accounts.add(_open(), name, role, password, actor(), now_us())
    click.echo(f"added {name}, {role}", err=True)
    if not password_stdin:
        click.echo(password)


@click.command()
@click.option("--json", "as_json", is_flag=True)
def user_list(as_json: bool) -> None:
    """Staff, their roles, and who is disabled or locked."""
    at_us = now_us()
    users = [_document(user, at_us) for user in accounts.everyone(_open())]
    if as_json:
        click.echo(json.dumps(users, ensure_ascii=False))
        return
    for user in users:
        click.echo(f"{user['name']:<24} {user['role']:<10} {user['state']}")
    if not users:
        click.echo("nobody yet; add somebody with: protokol user add NAME --role operator", err=True)


@click.command()
@click.argument("name")
def user_disable(name: str) -> None:
    """Close a log-in. Its sessions end at once."""
    accounts.disable(_open(), name, actor(), now_us())
    click.echo(f"disabled {name}; its sessions have ended", err=True)


@click.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="read the password from stdin in place of making one")
def user_reset(name: str, password_stdin: bool) -> None:
    """A new password. Ends the sessions, unlocks and enables the log-in."""
    password = _password(from_stdin=password_stdin)
    accounts.reset(_open(), name, password, actor(), now_us())
    click.echo(f"reset {name}; its sessions have ended", err=True)
    if not password_stdin:
        click.echo(password)


def _open() -> Archive:
    return Archive.open(load_settings())


def _password(*, from_stdin: bool) -> str:
    if not from_stdin:
        return accounts.make_password()
    password = sys.stdin.readline().rstrip("\r\n")
    accounts.check_password(password)
    return password


def _document(user: User, at_us: int) -> dict[str, Any]:
    locked = user.locked_until_us is not None and at_us < user.locked_until_us
    state = "disabled" if user.disabled_us is not None else "locked" if locked else "active"
    return {
        "name": user.name,
        "role": user.role,
        "state": state,
        "created": format_instant(user.created_us),
        "disabled": None if user.disabled_us is None else format_instant(user.disabled_us),
    }
