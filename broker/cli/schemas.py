"""`headrace schemas`: the wire schemas as files, for readers and producers in other languages."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.broker.amounts import counted
from headrace.broker.cli.options import Json
from headrace.broker.cli.terminal import say, say_json
from headrace.broker.errors import SettingsError
from headrace.schemas.export import BreakingChange, export_schemas, release_schemas

app = typer.Typer(no_args_is_help=True, help="Message formats as JSON Schemas and an AsyncAPI document.")


@app.callback()
def _group() -> None:
    pass  # a Typer app with a single verb would lose the verb's name without a callback


@app.command()
def export(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="Target directory; created if it does not exist.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the schemas of another release.")] = False,
    as_json: Json = False,
) -> None:
    """Write a JSON Schema for each message, and asyncapi.json, which names the topic of each.

    Existing files are replaced if the new ones are compatible for their readers; schemas of a newer release stay as
    they are.

    Example: headrace schemas export ./schemas
    """
    before = _contents(directory)
    try:
        written = (export_schemas if force else release_schemas)(directory)
    except BreakingChange as reason:
        raise SettingsError(
            f"{directory} holds schemas of another release, with which these are incompatible ({reason}): name an "
            "empty directory, or overwrite them with --force."
        ) from reason
    except ValueError as reason:
        raise SettingsError(
            f"{directory} holds a schema that is not JSON: name an empty directory, or overwrite it with --force."
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
