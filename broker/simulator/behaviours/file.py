"""A TOML file of behaviours: `[[behaviour]]` tables, each with a `name` and the numbers it changes."""

import tomllib

from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import behaviour


def behaviours_in(text: str) -> tuple[Behaviour, ...]:
    """Parse the behaviours of a file, in its order.

    Raises:
        ValueError: with a sentence that names the mistake, and the nearest that exists.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the behaviours are not TOML ({error})") from error
    tables = whole.pop("behaviour", [])
    if whole or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError("a file of behaviours consists of [[behaviour]] tables")
    return tuple(_read(dict(table), number) for number, table in enumerate(tables, start=1))


def _read(table: dict[str, object], number: int) -> Behaviour:
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"[[behaviour]] number {number} has no name")  # noqa: TRY004 -- a mistake in a file
    return behaviour(name, **table)
