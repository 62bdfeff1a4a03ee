"""All rows, by the modules that have them."""

from importlib import import_module
from pathlib import Path

from tests.unit.cli.usage.row import Row

MODULES = tuple(sorted(file.stem for file in Path(__file__).parent.glob("of_*.py")))
"""`of_….py` beside this one, each with `ROWS`; a new one is found by its name."""

ROWS: tuple[Row, ...] = tuple(row for name in MODULES for row in import_module(f"tests.unit.cli.usage.{name}").ROWS)
