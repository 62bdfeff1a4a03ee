"""`headrace schemas`: the wire schemas as files, for readers and producers in other languages."""

from pathlib import Path
from typing import Annotated

import typer

from broker.cli.amounts import counted
from broker.cli.options import Json
from broker.cli.terminal import say, say_json
from broker.errors import SettingsError
from schemas.export import BreakingChange, export_schemas, release_schemas

app = typer.Typer(no_args_is_help=True, help="The shapes of the wire as JSON Schemas and an AsyncAPI document.")


@app.callback()
def _group() -> None:
    pass  # a Typer app with a single verb would lose the verb's name without a callback


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="Made if it is not there.")],
    force: Annotated[bool, typer.Option("--force", help="Write over the schemas of another release.")] = False,
    as_json: Json = False,
) -> None:
    """Write one JSON Schema a shape, and asyncapi.json, which says which topic carries which.

    Files that are there already are replaced if everybody who reads by them can read by the new ones as well; schemas
    of a newer release are left alone.

    Example: headrace schemas export ./schemas
    """
    before = _contents(directory)
    try:
        written = (export_schemas if force else release_schemas)(directory)
    except BreakingChange as reason:
        raise SettingsError(
            f"{directory} holds schemas of another release, which these would break ({reason}): name an empty "
            "directory, or write over them with --force."
        ) from reason
    except ValueError as reason:
        raise SettingsError(
            f"{directory} holds a schema that is no JSON: name an empty directory, or --force."
        ) from reason
    except OSError as reason:
        raise SettingsError(f"{directory} cannot be written: {reason.strerror or reason}.") from reason
    changed = [path for path in written if before.get(path) != path.read_bytes()]
    if as_json:
        told = {"directory": str(directory), "written": [path.name for path in changed]}
        say_json(told | {"unchanged": [path.name for path in written if path not in changed]})
        return
    for path in changed:
        say(f"wrote {path}")
    same = len(written) - len(changed)
    say(f"{counted(len(changed), 'file')} written, {same} {'was' if same == 1 else 'were'} there unchanged.", err=True)


def _contents(directory: Path) -> dict[Path, bytes]:
    try:
        return {path: path.read_bytes() for path in directory.glob("*.json")}
    except OSError:
        return {}
