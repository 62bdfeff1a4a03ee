"""`headrace gateway key new`, `rotate` and `find`: the verbs that meet a key in clear text.

A key goes to a terminal or a pipe once, and comes from standard input: never from an argument, which other users of the
machine and the shell's history see.
"""

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from headrace.broker.cli.gateway.key_file import KeyFileArgument, check, file_named, list_
from headrace.broker.cli.gateway.key_options import (
    checked_label,
    checked_lane,
    checked_name,
    checked_tenant,
    last_instant,
)
from headrace.broker.cli.help_page import VerbPage
from headrace.broker.cli.options import Config, Json
from headrace.broker.cli.terminal import say, say_json
from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.keys.file import KeyFileError, NotTomlError, read_keys
from headrace.broker.gateway.keys.key import ClientKey, OnDisconnect
from headrace.broker.gateway.keys.key_text import KEY_CHARS_MAX, digest_of, hash_of, new_key
from headrace.broker.gateway.keys.ring import read_file
from headrace.broker.gateway.keys.writing import append, hash_text, table_text
from headrace.schemas.instants import to_wire
from headrace.schemas.nearest import there_is_no

keys = typer.Typer(no_args_is_help=True, help="Keys of the gateway's clients: new, rotate, list, check, find.")
keys.command("list", cls=VerbPage)(list_)
keys.command("check", cls=VerbPage)(check)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key: for logs, metrics and the file.")]
_File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Key file to append to; without it, the table is printed."),
]
_NotAfter = Annotated[
    str | None,
    typer.Option(
        "--not-after",
        metavar="WHEN",
        help="Last day such as 2027-01-31, an instant in ISO 8601, or a span such as 90d.",
    ),
]


class NoSuchKeyError(HeadraceError):
    """The file has no such key; exit 1."""


@keys.command("new", cls=VerbPage)
def new(  # noqa: PLR0917  # Typer reads them by name
    name: _Name,
    tenant: Annotated[str, typer.Option(metavar="TENANT", help="Tenant of its calls.")],
    lane: Annotated[
        list[str] | None,
        typer.Option(metavar="LANE", help="A lane that it may use, the default one first; default: standard."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="A model that it may ask for; * matches as in a shell. Default: every one."),
    ] = None,
    inflight_max: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1_000_000, help="Calls that may wait, at each replica.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1_000_000, help="Calls per minute, at each replica.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.1, help="Deadline of a call that names none.")
    ] = None,
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", min=1, max=3_600, help="Longest time that a call waits for its answer.")
    ] = 600,
    on_disconnect: Annotated[
        OnDisconnect, typer.Option(metavar="keep|cancel", help="What becomes of a call whose client hangs up.")
    ] = "keep",
    template: Annotated[str | None, typer.Option(metavar="NAME", help="Template of a call that names none.")] = None,
    not_after: _NotAfter = None,
    file: _File = None,
    as_json: Json = False,
) -> None:
    """Make a key, show it once, and append its table, which has only its hash, to a key file.

    With --file the key is all that standard output gets. Without it the table is printed there, and the key on standard
    error, so that `>> keys.toml` never writes a key.

    Example: headrace gateway key new lead-ingest --tenant sales --lane bulk --file keys.toml
    """
    lanes = lane or ["standard"]
    key = ClientKey(
        name=checked_name(name),
        tenant=checked_tenant(tenant),
        lane=checked_lane(lanes[0]),
        lanes=tuple(map(checked_lane, lanes)),
        models=tuple(checked_label(each, "--model") for each in model) if model else ("*",),
        inflight_max=inflight_max,
        requests_per_minute=requests_per_minute,
        deadline_s=deadline,
        wait_s=wait,
        on_disconnect=on_disconnect,
        template=None if template is None else checked_label(template, "--template"),
    )
    if file is not None and file.exists() and name in read_keys(read_file(file)[0], name=str(file)).keys:
        raise typer.BadParameter(
            f"{file} has a key {name}: name this one otherwise, or give it one more text with "
            f"`headrace gateway key rotate {name} --file {file}`"
        )
    secret, until, made = new_key(secrets.choice), last_instant(not_after), datetime.now(UTC)
    table = table_text(key, hash_of(secret), until, made)
    _hand_out(name, secret, table, until, file, as_json=as_json)


@keys.command("rotate", cls=VerbPage)
def rotate(name: _Name, not_after: _NotAfter = None, file: _File = None, as_json: Json = False) -> None:
    """Give a key one more text beside those it has, so that its client changes over without a pause.

    Take the old hash out of the file once its client has the new text.

    Example: headrace gateway key rotate lead-ingest --file keys.toml
    """
    checked_name(name)
    secret, until = new_key(secrets.choice), last_instant(not_after)
    table = hash_text(name, hash_of(secret), until, datetime.now(UTC))
    if file is not None:
        _check_rotation(file, name, table)
    _hand_out(name, secret, table, until, file, as_json=as_json)


@keys.command("find", cls=VerbPage)
def find(file: KeyFileArgument = None, config: Config = None, as_json: Json = False) -> None:
    """Name the key whose text is on standard input, such as one that a scanner has found in a repository.

    Exit 1 if the file has no such key.

    Example: headrace gateway key find keys.toml
    """
    path = file_named(file, config)
    text = _read_key()
    known = read_keys(read_file(path)[0], name=str(path)).hashes.get(digest_of(text))
    if known is None:
        raise NoSuchKeyError(f"{path} has no such key.")
    until = None if known.not_after is None else to_wire(known.not_after)
    if as_json:
        say_json({"name": known.key.name, "tenant": known.key.tenant, "hash": hash_of(text), "not_after": until})
        return
    say(known.key.name)
    say(f"Its hash is {hash_of(text)}" + (f", valid until {until}." if until else "."), err=True)


def _check_rotation(file: Path, name: str, table: str) -> None:
    """Refuse a file without the key, and one that has its hashes where nothing can be appended."""
    content = read_file(file)[0]
    known = read_keys(content, name=str(file)).keys
    if name not in known:
        raise NoSuchKeyError(there_is_no("key", name, known))
    try:
        read_keys(content + b"\n" + table.encode(), name=str(file))
    except NotTomlError:
        sentence = (
            f"{file} has the hashes of {name} in one list, to which no table can be appended: run this without --file, "
            "and add the hash to the list by hand."
        )
        raise KeyFileError([sentence]) from None


def _read_key() -> str:
    if sys.stdin.isatty():
        say("Paste the key, and press Enter:", err=True)
    text = sys.stdin.buffer.readline(KEY_CHARS_MAX + 2).strip(b" \t\r\n")
    if not text or len(text) > KEY_CHARS_MAX or not text.isascii():
        raise typer.BadParameter("Standard input has no key: give it one on its first line")
    return text.decode("ascii")


def _hand_out(name: str, secret: str, table: str, until: datetime | None, file: Path | None, *, as_json: bool) -> None:
    """Write the table, then show the key: a key whose hash is nowhere is worth nothing."""
    if file is None:
        _check_alone(name, table)
    else:
        append(file, table)
    if as_json:
        told = {"name": name, "key": secret, "hash": hash_of(secret), "not_after": to_wire(until) if until else None}
        say_json(told | ({"toml": table} if file is None else {"file": str(file)}))
        return
    if file is None:
        say(table.rstrip("\n"))
        sys.stdout.flush()
        say(f"The key is {secret}", err=True)
        say("It is shown this once: the table above has only its hash.", err=True)
        return
    say(secret)
    sys.stdout.flush()
    say(f"This key is shown once: {file} has only its hash. Gateways take it within seconds.", err=True)


def _check_alone(name: str, table: str) -> None:
    """Refuse a new table that no gateway would read; a further hash alone is no whole key."""
    if table.startswith("[keys."):
        read_keys(table.encode(), name=f"the table of {name}")
