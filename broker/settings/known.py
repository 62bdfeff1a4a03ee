"""The known keys, and the one that a wrong key most likely stands for.

Unlike `headrace.schemas.nearest`, `nearest_key` always names one: a key of the same table if a similar one exists, else
of any table.
"""

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any, get_args, get_origin

from pydantic import SecretStr

from headrace.broker.settings.group import Group
from headrace.broker.settings.origins import Path, dotted
from headrace.broker.settings.whole import Settings
from headrace.schemas.nearest import ALIKE


def group_at(path: Path) -> type[Group] | None:
    """Return the group with its keys at `path`, or None if no table stands there."""
    group: type[Group] | None = Settings
    rest = list(path)
    while rest and group is not None:
        field = group.model_fields.get(rest.pop(0))
        annotation: Any = field.annotation if field else None
        if get_origin(annotation) is Mapping:
            annotation = get_args(annotation)[1] if rest else None
            rest = rest[1:]
        group = annotation if isinstance(annotation, type) and issubclass(annotation, Group) else None
    return group


def secret_keys(group: type[Group]) -> set[str]:
    """Return the keys of secrets, each of which may stand in a file named by `<key>_file`."""
    return {
        key
        for key, field in group.model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    }


def known_keys(path: Path) -> list[Path]:
    """Return all keys of the table at `path`."""
    group = group_at(path)
    if group is None:
        return []
    names = [*group.model_fields, *(f"{key}_file" for key in sorted(secret_keys(group)))]
    return [(*path, name) for name in names]


def nearest_key(path: Path) -> str:
    """Return the known key that `path` most likely stands for, dotted."""
    beside = known_keys(path[:-1])
    best = max(beside, key=lambda known: _likeness(path, known), default=None)
    if best is None or _likeness(path, best) < ALIKE:
        elsewhere = [known for group in Settings.model_fields for known in known_keys((group,))]
        best = max([*beside, *elsewhere], key=lambda known: _likeness(path, known))
    return dotted(best)


def _likeness(path: Path, known: Path) -> float:
    return SequenceMatcher(None, path[-1].lower(), known[-1]).ratio()
