"""The operator's price file: TOML with a table `[models.NAME]` for each model or pattern, laid over the library's list.

It is read once, at the start of a process. Every mistake is found at once, as a sentence that names file, model and
key. A price is read as the decimal number that it is written as.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from headrace.broker.adapters.prices.price_shapes import LongInputPrices, ModelPrices, PriceHead, TierPrices
from headrace.broker.errors import SettingsError
from headrace.schemas.complaint import EXPECTED_OF_SCALARS
from headrace.schemas.nearest import listed, nearest, shown

FILE_BYTES_MAX: Final = 1024 * 1024
MODELS_MAX: Final = 2_000
"""A look-up tries each pattern, in the leader's loop: a tenth of a second at first, and then a few milliseconds."""
_DOTS_A_LINE_MAX: Final = 500
"""tomllib's time grows with the square of the parts of one name."""
_MISTAKES_MAX: Final = 20
_DIGITS: Final = 8
_MODEL_CHARS_MAX: Final = 256
_BARE_KEY: Final = re.compile("[A-Za-z0-9_-]+")
_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_EXPECTED: Final = EXPECTED_OF_SCALARS | {
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text, and not empty",
    "too_long": "at most {max_length}",
}
_TABLES: Final[Mapping[str, type[BaseModel]]] = {"long_input": LongInputPrices, "tiers": TierPrices}


class PriceFileError(SettingsError):
    """A price file that cannot be used; `sentences` has its mistakes, of many the first twenty."""

    def __init__(self, sentences: Sequence[str]) -> None:
        more = ["There are more mistakes."] if len(sentences) > _MISTAKES_MAX else []
        self.sentences = (*sentences[:_MISTAKES_MAX], *more)
        super().__init__(" ".join(self.sentences))


@dataclass(frozen=True, slots=True)
class PriceFile:
    """What a file says.

    Attributes:
        version: Its own, or eight digits of its SHA-256.
        factor: What the prices of the list are multiplied by; None: by nothing.
        models: Prices by lower-case name or pattern, the latest day first.
    """

    version: str
    factor: Decimal | None = None
    models: Mapping[str, Sequence[ModelPrices]] = field(default_factory=dict)

    def prices(self, model: str, day: date) -> ModelPrices | None:
        """Return what holds for a model on a day (UTC): by its name, by that without a date, or by the longest pattern.

        None: the file says nothing about it.
        """
        name = model.lower()
        for key in (name, _DATE.sub("", name), *self._patterns(name)):
            for entry in self.models.get(key, ()):
                if entry.from_ is None or entry.from_ <= day:
                    return entry
        return None

    def _patterns(self, name: str) -> list[str]:
        patterns = (key for key in self.models if any(sign in key for sign in "*?["))
        return sorted((key for key in patterns if fnmatchcase(name, key)), key=lambda key: (-len(key), key))


def read_price_file(path: Path) -> PriceFile:
    """Read a price file.

    Raises:
        PriceFileError: It cannot be read, or has mistakes.
    """
    content, tree = _tree(path)
    mistakes: list[str] = []
    try:
        head = PriceHead.model_validate(tree)
    except ValidationError as error:
        mistakes += [_sentence(path, "", PriceHead, each) for each in error.errors(include_url=False)]
        head = PriceHead()
    tables = tree.get("models", {})
    if not isinstance(tables, dict):
        raise PriceFileError([*mistakes, f"{path}: models must have a table [models.NAME] for each model."])
    if len(tables) > MODELS_MAX:
        raise PriceFileError([*mistakes, f"{path} has tables for {len(tables):,} models, more than {MODELS_MAX:,}."])
    models: dict[str, list[ModelPrices]] = {}
    for name, given in tables.items():
        read = list(_entries(path, name, given, mistakes))
        if name.lower() in models:
            mistakes.append(f"{path}: {_at(name)} stands twice, since names of models have no case.")
        models[name.lower()] = sorted(read, key=lambda entry: entry.from_ or date.min, reverse=True)
    if mistakes:
        raise PriceFileError(mistakes)
    return PriceFile(head.version or hashlib.sha256(content).hexdigest()[:_DIGITS], head.factor, models)


def _tree(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise PriceFileError([f"{path} is larger than {FILE_BYTES_MAX // 1024:,} KiB."])
        if any(line.count(b".") > _DOTS_A_LINE_MAX for line in content.splitlines()):
            raise PriceFileError([f"{path} has a line with more than {_DOTS_A_LINE_MAX} dots."])
        return content, tomllib.loads(content.decode("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise PriceFileError([f"{path} cannot be read: {error.strerror or error}."]) from error
    except UnicodeDecodeError:
        raise PriceFileError([f"{path} is not UTF-8 text."]) from None
    except tomllib.TOMLDecodeError as error:
        raise PriceFileError([f"{path} is not TOML: {error}."]) from None
    except (ValueError, ArithmeticError, RecursionError):
        raise PriceFileError([f"{path} is not TOML that can be read."]) from None


def _entries(path: Path, name: str, given: object, mistakes: list[str]) -> Iterator[ModelPrices]:
    """Yield the sound entries of one model, and note what is wrong with the others."""
    if not 1 <= len(name) <= _MODEL_CHARS_MAX:
        mistakes.append(f"{path}: the name of a model has 1 to {_MODEL_CHARS_MAX} characters, not {len(name)}.")
    days: set[date | None] = set()
    for table in given if isinstance(given, list) else [given]:
        try:
            entry = ModelPrices.model_validate(table)
        except ValidationError as error:
            mistakes += [_sentence(path, _at(name), ModelPrices, each) for each in error.errors(include_url=False)]
            continue
        if entry.from_ in days:
            which = "without from" if entry.from_ is None else f"from {entry.from_}"
            mistakes.append(f"{path}: {_at(name)} has two tables {which}: which one holds?")
        days.add(entry.from_)
        yield entry


def _at(name: str) -> str:
    return f"models.{_key(shown(name))}"


def _key(part: object) -> str:
    text = str(part)
    return text if _BARE_KEY.fullmatch(text) else f'"{text}"'


def _sentence(path: Path, head: str, table: type[BaseModel], found: ErrorDetails) -> str:
    """Return one mistake as a sentence: the file, the model and the key, and what is expected there."""
    at = ".".join([*([head] if head else []), *(_key(part) for part in found["loc"])])
    where = f"{path}: {at}" if at else f"{path}:"
    context = found.get("ctx", {})
    if found["type"] == "value_error":
        return f"{where} {context['error']}."
    if found["type"] == "missing":
        return f"{where} is missing."
    if found["type"] == "extra_forbidden":
        return f"{where} is no key of a price file{_meant(table, found['loc'])}"
    return f"{where} must be {_EXPECTED.get(found['type'], 'something else').format(**context)}."


def _meant(table: type[BaseModel], loc: Sequence[object]) -> str:
    for part in loc[:-1]:
        table = _TABLES.get(str(part), table)
    known = [field.alias or name for name, field in table.model_fields.items()]
    near = nearest(str(loc[-1]), known)
    return f": did you mean {near}?" if near else f"; there are {listed(known)}."
