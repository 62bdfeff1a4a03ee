"""`headrace config`: shows the settings in force with their origins, and finds every mistake in them."""

import json
import os
import re
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path as FilePath
from typing import Annotated, Any, Final

import typer
from pydantic import ByteSize
from rich.text import Text

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.openai.environment import unusable
from headrace.broker.adapters.prices.price_file import PriceFileError
from headrace.broker.adapters.prices.price_list import price_list
from headrace.broker.adapters.redis.lease import connected
from headrace.broker.cli.options import BootstrapServers, Config, Json, TopicPrefix, overriding
from headrace.broker.cli.screen import screen, show_beside
from headrace.broker.cli.terminal import safe, say, say_json
from headrace.broker.errors import SettingsError
from headrace.broker.gateway.keys.file import KeyFileError, read_keys
from headrace.broker.gateway.keys.ring import read_file
from headrace.broker.settings.cautions import cautions
from headrace.broker.settings.effective import SettingRow, rows
from headrace.broker.settings.load import Examined, Loaded, examine, load_with_origins
from headrace.broker.settings.mistakes import Mistake
from headrace.broker.settings.origins import Path, SettingOrigin, SourceKind, dotted, named

app = typer.Typer(
    no_args_is_help=True, help="Show the effective settings and their origins, or check them for mistakes."
)

File = Annotated[FilePath | None, typer.Argument(metavar="FILE", help="The settings file, as --config names it.")]

_WRONG = 2
_BARE_KEY: Final = re.compile("[A-Za-z0-9_-]+")
_NOT_ASCII: Final = re.compile("[^ -~]")
_BASIC_PLANE_MAX: Final = 0xFFFF
_VALUE_CHARS_MAX = 44
"""Longest text that counts for the column of origins: a longer one does not push its group's origins to the right."""


@app.command()
def show(  # noqa: PLR0917  # Typer reads them by name
    file: File = None,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    changed: Annotated[bool, typer.Option("--changed", help="Leave out the defaults.")] = False,
    as_json: Json = False,
) -> None:
    """Show every effective setting with its origin; secrets are masked.

    The output is TOML: parts of it can be copied into a settings file.

    Example: headrace config show headrace.toml --changed
    """
    loaded = load_with_origins(_named_once(file, config), overriding(bootstrap_servers, prefix))
    shown = [row for row in rows(loaded) if not changed or row.origin.source is not SourceKind.DEFAULT]
    if as_json:
        say_json(_nested(shown))
        return
    console = screen()
    for table, inside in groupby(shown, key=lambda row: row.path[:-1]):
        console.print(Text(f"[{'.'.join(map(_toml_key, table))}]", style="bold"), soft_wrap=True)
        console.print(*_lines(list(inside)), sep="\n", end="\n\n", soft_wrap=True)
    if not shown:
        say("No setting was changed: all defaults apply.", err=True)


def _named_once(file: FilePath | None, config: FilePath | None) -> FilePath | None:
    if file is not None and config is not None:
        raise typer.BadParameter(f"The settings file is given twice, as {file} and as --config {config}: leave one out")
    return file if file is not None else config


def _lines(table: list[SettingRow]) -> list[Text]:
    texts = [f"{_toml_key(row.path[-1])} = {_toml(row)}" for row in table]
    width = max((len(text) for text in texts if len(text) <= _VALUE_CHARS_MAX), default=0)
    lines = []
    for row, text in zip(table, texts, strict=True):
        is_default = row.origin.source is SourceKind.DEFAULT
        if row.value is None:
            lines.append(Text(f"# {_toml_key(row.path[-1])} is not set", style="dim"))
            continue
        said = safe(row.because or "default" if is_default else str(row.origin))
        lines.append(Text.assemble((f"{text:<{width}}", "" if is_default else "bold"), (f"  # {said}", "dim")))
    return lines


def _toml(row: SettingRow) -> str:
    """Format the value as TOML."""
    is_round = row.is_size and row.value % 1_024 == 0
    return _as_toml(ByteSize(row.value).human_readable().replace(".0", "") if is_round else row.value)


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _as_toml(key)


def _as_toml(value: Any) -> str:
    r"""Format a value as TOML, which writes strings, lists and numbers as JSON does.

    A character that could act on a terminal becomes `\u009b` or `\U000e0041`: TOML has neither the `\x9b` that other
    verbs print nor JSON's pairs of escapes.
    """
    return _NOT_ASCII.sub(lambda found: _escape(found[0]), json.dumps(value, ensure_ascii=False))


def _escape(letter: str) -> str:
    if safe(letter) == letter:
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) <= _BASIC_PLANE_MAX else f"\\U{ord(letter):08x}"


def _nested(shown: list[SettingRow]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for row in shown:
        table = tree
        for key in row.path[:-1]:
            table = table.setdefault(key, {})
        because = {"because": row.because} if row.because else {}
        table[row.path[-1]] = {"value": row.value, "origin": _origin_json(row.origin) | because}
    return tree


def _origin_json(origin: SettingOrigin) -> dict[str, Any]:
    told = {"source": str(origin.source), "name": origin.name, "line": origin.line}
    return {key: value for key, value in told.items() if value}


@app.command()
def check(  # Typer reads them by name
    file: File = None,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    as_json: Json = False,
) -> None:
    """Find all mistakes in the settings, not only the first; exit 2 if there is one.

    Cautions are about settings that are allowed but questionable, such as one without effect; they do not change the
    exit code. No connection is made.

    Example: headrace config check headrace.toml
    """
    examined = examine(_named_once(file, config), overriding(bootstrap_servers, prefix))
    mistakes = [*examined.mistakes, *_unreadable(examined.loaded)]
    warned = [] if examined.loaded is None else [*cautions(examined.loaded), *_on_keys(examined.loaded)]
    if as_json:
        told = {
            "mistakes": [_mistake_json(one) for one in mistakes],
            "cautions": [_mistake_json(one) for one in warned],
        }
        say_json({"ok": not mistakes} | told)
    else:
        _tell(mistakes, warned, examined)
    if mistakes:
        raise typer.Exit(_WRONG)


def _unreadable(loaded: Loaded | None) -> list[Mistake]:
    """Find what otherwise only a start would: invalid certificates, and what a library cannot read or reads unasked."""
    if loaded is None:
        return []
    settings = loaded.settings
    tries: dict[Path, Callable[[], object]] = {
        ("kafka", "ca_file"): lambda: KafkaConnection.of(settings.kafka).client_kwargs(),
        ("redis", "url"): lambda: connected(settings.redis.url.get_secret_value()),
    }
    found = []
    for path, attempt in tries.items():
        try:
            attempt()
        except SettingsError as reason:
            origins = tuple(one.origin for one in (loaded.given.get(path),) if one)
            found.append(Mistake(f"{str(reason).rstrip('.')}{named(origins)}", (path,), origins))
    found += _on_prices(loaded)
    for one in unusable(settings.openai.base_url, os.environ):
        said, path = one.sentence.rstrip("."), ("openai", "base_url")
        if one.variable:  # the sentence names the variable
            found.append(Mistake(said, origins=(SettingOrigin(SourceKind.ENVIRONMENT, one.variable),)))
        else:
            origins = (loaded.given[path].origin,)
            found.append(Mistake(f"{said}{named(origins)}", (path,), origins))
    return found


def _on_prices(loaded: Loaded) -> list[Mistake]:
    """Find every mistake of the price file, and a provider without prices: no dispatcher starts with them."""
    path: Path = ("costs", "prices_file")
    try:
        price_list(loaded.settings)
    except PriceFileError as error:
        origins = (loaded.given[path].origin,)
        return [
            Mistake(f"costs.prices_file{named(origins)}: {each.rstrip('.')}", (path,), origins)
            for each in error.sentences
        ]
    except SettingsError as error:
        path = ("costs", "provider")
        origins = (loaded.given[path].origin,)
        return [Mistake(f"{str(error).rstrip('.')}{named(origins)}", (path,), origins)]
    return []


def _on_keys(loaded: Loaded) -> list[Mistake]:
    """Find what keeps gateways from starting; no mistake, since dispatchers may have these settings and no keys."""
    gateway, path = loaded.settings.gateway, ("gateway", "keys_file")
    if not gateway.enabled:
        return []
    if gateway.keys_file is None:
        return [Mistake("gateway.enabled is true, and no gateway starts without gateway.keys_file", (path,))]
    origins = (loaded.given[path].origin,)
    try:
        read_keys(read_file(FilePath(gateway.keys_file))[0], name=gateway.keys_file, lanes=loaded.settings.lanes)
    except KeyFileError as error:
        found = (sentence.rstrip(".") for sentence in error.sentences)
        return [Mistake(f"no gateway starts{named(origins)}: {each}", (path,), origins) for each in found]
    return []


def _tell(mistakes: list[Mistake], warned: list[Mistake], examined: Examined) -> None:
    console = screen()
    for one in mistakes:
        show_beside(console, Text("mistake  ", "bold red"), _told(one))
    for one in warned:
        show_beside(console, Text("caution  ", "yellow"), _told(one))
    sys.stdout.flush()
    if mistakes:
        count = len(mistakes)
        say(f"{count} mistake{'s' if count > 1 else ''}: no process starts with these settings.", err=True)
    else:
        files = sorted({one.origin.name for one in examined.given.values() if one.origin.source is SourceKind.FILE})
        say(f"The settings are sound{named(files)}.", err=True)


def _told(mistake: Mistake) -> str:
    """Return a whole sentence with a capital letter, unless it begins with a key, which keeps its spelling."""
    sentence = f"{mistake.sentence}."
    begins_with_key = sentence.startswith(tuple(dotted(key[:1]) for key in mistake.keys))
    return sentence if begins_with_key else f"{sentence[0].upper()}{sentence[1:]}"


def _mistake_json(mistake: Mistake) -> dict[str, Any]:
    return {
        "sentence": f"{mistake.sentence}.",
        "keys": [dotted(key) for key in mistake.keys],
        "origins": [_origin_json(origin) for origin in mistake.origins],
    }
