"""Every setting in force, with its origin; secrets are masked here and nowhere later."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ByteSize, SecretStr

from headrace.broker.settings.group import Group
from headrace.broker.settings.load import Loaded
from headrace.broker.settings.origins import DEFAULTS, Path, SettingOrigin
from headrace.broker.settings.urls import MASK, HttpUrl, RedisUrl
from headrace.broker.settings.whole import Settings


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One effective setting.

    Attributes:
        path: Group and key.
        value: The value as JSON has it: sizes in bytes, None where nothing is set, `***` for a secret.
        origin: The place that gave it.
        because: How a value that was not set follows from others; empty otherwise.
        is_size: Whether the value counts bytes.
    """

    path: Path
    value: Any
    origin: SettingOrigin
    because: str = ""
    is_size: bool = False


def rows(loaded: Loaded) -> list[SettingRow]:
    """Return all settings, group by group."""
    return [_row(loaded, path, value) for path, value in _leaves(loaded.settings, ())]


def _leaves(table: Group | Mapping[str, Any], at: Path) -> Iterator[tuple[Path, Any]]:
    keys = type(table).model_fields if isinstance(table, Group) else _in_order(table)
    for key in keys:
        value = getattr(table, key) if isinstance(table, Group) else table[key]
        if isinstance(value, Group | Mapping):
            yield from _leaves(value, (*at, key))
        else:
            yield (*at, key), value


def _in_order(tables: Mapping[str, Any]) -> list[str]:
    """Return the names of the tables: lanes by their order, limits as they were given."""
    return sorted(tables, key=lambda name: getattr(tables[name], "order", 0))


def _row(loaded: Loaded, path: Path, value: Any) -> SettingRow:
    given = loaded.given.get(path)
    if given is not None:
        return SettingRow(path, _shown(path, value), given.origin, is_size=isinstance(value, ByteSize))
    derived, because = _derived(loaded.settings, path, value)
    return SettingRow(path, _shown(path, derived), DEFAULTS, because, isinstance(derived, ByteSize))


def _derived(settings: Settings, path: Path, value: Any) -> tuple[Any, str]:
    """Return the value in force where none was set, and the reason for it."""
    match path:
        case ("lanes", lane, "deadline_max_s"):
            return settings.deadline_max_s(lane), "a day less than topics.requests.retention_s"
        case ("gateway", "body_bytes_max"):
            return ByteSize(settings.gateway_body_bytes_max), "8 KiB less than input.request_bytes_max"
        case ("topics", "ledger", "retention_s"):
            return settings.ledger_retention_s, "twice dedupe.window_s, at least a day"
        case ("topics", _, "replication" | "min_insync"):
            return value, "fewer where there are fewer nodes"
        case ("limits", _, "models"):
            return value, "the limit's name and its dated snapshots"
    return value, ""


def _shown(path: Path, value: Any) -> Any:
    if path == ("redis", "url"):
        return RedisUrl.read(value.get_secret_value()).masked()
    if path in {("openai", "base_url"), ("tracing", "endpoint")} and value is not None:
        return HttpUrl.read(value).masked()
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, ByteSize):
        return int(value)
    return list(value) if isinstance(value, tuple) else value
