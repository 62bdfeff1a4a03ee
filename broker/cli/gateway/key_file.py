"""`headrace gateway key list` and `check`: what a key file says, and what is wrong with it."""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from headrace.broker.amounts import counted
from headrace.broker.cli.columns import Column, Columns, Cut, Line
from headrace.broker.cli.options import Config, Json
from headrace.broker.cli.screen import screen, show_beside
from headrace.broker.cli.terminal import is_person_watching, say, say_json
from headrace.broker.errors import SettingsError
from headrace.broker.gateway.keys.file import KeyFile, KeyFileError, read_keys
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.ring import cautions_on, read_file
from headrace.broker.settings.load import load_settings
from headrace.broker.settings.whole import Settings
from headrace.schemas.instants import to_wire

KeyFileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The key file; default: gateway.keys_file.")
]
_WRONG: Final = 2
_SOON: Final = timedelta(days=14)
_COLUMNS: Final = (
    Column("NAME"),
    Column("TENANT", cut=Cut.LAST),
    Column("LANES", cut=Cut.LAST),
    Column("MODELS", cut=Cut.FIRST),
    Column("IN FLIGHT", right=True, from_width=100),
    Column("PER MINUTE", right=True, from_width=100),
    Column("TEXTS", right=True),
    Column("NOT AFTER"),
)


def list_(file: KeyFileArgument = None, config: Config = None, as_json: Json = False) -> None:
    """List the keys of a file: name, tenant, lanes, models, caps, number of texts, end; never a key or a hash.

    Example: headrace gateway key list keys.toml
    """
    path = file_named(file, config)
    read = read_keys(read_file(path)[0], name=str(path))
    ends = {name: list(_ends(read, name)) for name in read.keys}
    if as_json:
        for name, key in read.keys.items():
            say_json(_as_object(key, ends[name]))
        return
    rows = [_row(key, ends[name]) for name, key in read.keys.items()]
    if is_person_watching():
        Columns(screen(), _COLUMNS).show(Line(row) for row in rows)
    else:
        for row in rows:
            say("\t".join(row))
    if not rows:
        say(f"{path} has no key.", err=True)


def check(file: KeyFileArgument = None, config: Config = None, as_json: Json = False) -> None:
    """Find all mistakes in a key file, not only the first; exit 2 if there is one.

    Lanes are compared with those of the settings. Cautions, such as on a key that expires within two weeks, do not
    change the exit code.

    Example: headrace gateway key check keys.toml
    """
    settings = load_settings(config)
    path = file_named(file, config, settings)
    mistakes: tuple[str, ...] = ()
    cautions: list[str] = []
    try:
        content, mode = read_file(path)
        cautions = cautions_on(path, mode)
        cautions += _cautions(read_keys(content, name=str(path), lanes=settings.lanes), datetime.now(UTC))
    except KeyFileError as error:
        mistakes = error.sentences
    if as_json:
        say_json({"ok": not mistakes, "mistakes": list(mistakes), "cautions": cautions})
    else:
        _tell(path, mistakes, cautions)
    if mistakes:
        raise typer.Exit(_WRONG)


def file_named(file: Path | None, config: Path | None, settings: Settings | None = None) -> Path:
    """Return the key file: as named, else that of the settings.

    Raises:
        SettingsError: The settings have a mistake, or name none.
    """
    if file is not None:
        return file
    named = (settings or load_settings(config)).gateway.keys_file
    if named is None:
        raise SettingsError("No key file is named: give FILE, or set gateway.keys_file.")
    return Path(named)


def _tell(path: Path, mistakes: Iterable[str], cautions: Iterable[str]) -> None:
    console = screen()
    for one in mistakes:
        show_beside(console, Text("mistake  ", "bold red"), one)
    for one in cautions:
        show_beside(console, Text("caution  ", "yellow"), one)
    sys.stdout.flush()
    found = len(list(mistakes))
    if found:
        say(
            f"{counted(found, 'mistake')}: a gateway does not start with this file, and a running one ignores it.",
            err=True,
        )
    else:
        say(f"The keys of {path} are sound.", err=True)


def _cautions(read: KeyFile, now: datetime) -> Iterator[str]:
    if not read.keys:
        yield "The file has no key: every call is refused."
    for name in read.keys:
        ends = list(_ends(read, name))
        last = None if None in ends else max(end for end in ends if end is not None)
        if last is not None and last < now:
            yield f"{name} has expired: take it out of the file."
        elif last is not None and last < now + _SOON:
            yield f"{name} expires on {last:%Y-%m-%d}: give its client another text with `headrace gateway key rotate`."
        elif any(end is not None and end < now for end in ends):
            yield f"{name} has a hash that has expired: take it out of the file."


def _ends(read: KeyFile, name: str) -> Iterator[datetime | None]:
    """Yield the last instant of each hash of a key; None: it has none."""
    yield from (known.not_after for known in read.hashes.values() if known.key.name == name)


def _row(key: ClientKey, ends: list[datetime | None]) -> list[str]:
    last = None if None in ends else max(end for end in ends if end is not None)
    return [
        key.name,
        key.tenant,
        " ".join(key.lanes),
        " ".join(key.models),
        "-" if key.inflight_max is None else str(key.inflight_max),
        "-" if key.requests_per_minute is None else str(key.requests_per_minute),
        str(len(ends)),
        "-" if last is None else f"{last:%Y-%m-%d}",
    ]


def _as_object(key: ClientKey, ends: list[datetime | None]) -> dict[str, Any]:
    members = {
        name: getattr(key, name)
        for name in (
            "name", "tenant", "lane", "lanes", "models", "inflight_max", "requests_per_minute", "deadline_s", "wait_s",
            "on_disconnect", "template",
        )
    }  # fmt: skip
    return members | {"not_after": [None if end is None else to_wire(end) for end in ends]}
