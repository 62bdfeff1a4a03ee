"""The places a setting can be given: the TOML file, the environment, the flags, and files that hold one secret."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from broker.errors import SettingsError
from broker.settings.known import group_at, nearest, secret_keys
from broker.settings.origins import Given, Leaves, Path, dotted, leaves
from broker.settings.whole import Settings

PREFIX = "HEADRACE_"
_OTHER_PURPOSES = frozenset({"CONFIG", "CACHE_DIR", "DEBUG"})
_KUBERNETES = re.compile(r"(^|_)(PORT|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)$")
"""Variables that Kubernetes sets in every pod for a Service whose name begins with `headrace`."""

_OPENAI_NAMES = {
    "OPENAI_API_KEY": "api_key",
    "OPENAI_API_KEY_FILE": "api_key_file",
    "OPENAI_BASE_URL": "base_url",
    "OPENAI_ORG_ID": "organization",
    "OPENAI_PROJECT_ID": "project",
}
_SECRET_BYTES_MAX = 64 * 1024


def from_file(config: FilePath) -> Leaves:
    """What the TOML file `config` gives. Raises SettingsError if it cannot be read as such."""
    try:
        tree = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {config} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the settings file {config} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the settings file {config} is not TOML: {error}") from error
    return _with_secrets(leaves(tree, str(config)), beside=config.parent)


def from_openai_names(environ: Mapping[str, str]) -> Leaves:
    """What OpenAI's own variables give: fall-backs below every other place."""
    given: Leaves = {}
    for name, key in _OPENAI_NAMES.items():
        if environ.get(name):
            given["openai", key] = Given(environ[name], f"the environment variable {name}")
    return _with_secrets(given)


def from_environment(environ: Mapping[str, str]) -> Leaves:
    """What `HEADRACE_<GROUP>__<KEY>` and whole groups as JSON give; an empty variable counts as not set.

    Names are case-blind and read as lower case. Raises SettingsError for a name that is no setting: a typing error
    here would otherwise go unnoticed.
    """
    whole: Leaves = {}
    single: Leaves = {}
    for name, text in sorted(environ.items()):
        rest = name.upper().removeprefix(PREFIX)
        if rest == name.upper() or rest in _OTHER_PURPOSES or not text:
            continue
        path = tuple(rest.lower().split("__"))
        if path[0] not in Settings.model_fields:
            if "__" not in rest and _KUBERNETES.search(rest):
                continue
            raise SettingsError(f"the environment variable {name} is no setting: the nearest is {_variable_like(rest)}")
        target = whole if group_at(path) is not None or len(path) == 1 else single
        target.update(_read_variable(name, path, text))
    return _with_secrets({**whole, **single})


def from_flags(overrides: Mapping[str, object]) -> Leaves:
    """What flags give: dotted key to value, where None stands for a flag that was not used."""
    given: Leaves = {}
    for key, value in overrides.items():
        path = tuple(key.split("."))
        flag = f"the flag --{path[-1].replace('_', '-')}"
        if isinstance(value, Mapping):
            given.update(leaves(value, flag, path))
        elif value is not None:
            given[path] = Given(value, flag)
    return _with_secrets(given)


def _read_variable(name: str, path: Path, text: str) -> Leaves:
    origin = f"the environment variable {name}"
    is_table = len(path) == 1 or group_at(path) is not None
    if not is_table:
        return {path: Given(_listed(path, text), origin)}
    if text.strip().lower() == "false":
        return {path: Given(False, origin)}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{origin} must hold the group {dotted(path)} as JSON, and does not: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError(f"{origin} must hold the group {dotted(path)} as a JSON object")
    return leaves(value, origin, path) or {path: Given({}, origin)}


def _listed(path: Path, text: str) -> Any:
    """Text, or the parts of a comma-separated list where a list is wanted."""
    group = group_at(path[:-1])
    field = group.model_fields.get(path[-1]) if group else None
    if field is None or field.annotation != tuple[str, ...]:
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return [part.strip() for part in text.split(",")]


def _variable_like(rest: str) -> str:
    """The variable somebody most likely meant, such as a single underscore between group and key."""
    lowered = rest.lower()
    for group in Settings.model_fields:
        if lowered.startswith(f"{group}_"):
            key = nearest((group, lowered.removeprefix(f"{group}_").lstrip("_")))
            return PREFIX + key.upper().replace(".", "__")
    head, _, tail = lowered.partition("__")
    group = nearest((head,)) if tail else nearest((lowered,))
    return PREFIX + "__".join([*group.upper().split("."), *([tail.upper()] if tail else [])])


def _with_secrets(given: Leaves, beside: FilePath | None = None) -> Leaves:
    """Replaces every `<secret>_file` by what that file holds; a relative path is beside the settings file."""
    found: Leaves = {}
    for path, one in given.items():
        group = group_at(path[:-1])
        secret = path[-1].removesuffix("_file")
        if group is None or not path[-1].endswith("_file") or secret not in secret_keys(group):
            found[path] = one
            continue
        if (*path[:-1], secret) in given:
            both = given[(*path[:-1], secret)].origin
            raise SettingsError(f"{dotted((*path[:-1], secret))} is given twice: from {both} and from {one.origin}")
        found[(*path[:-1], secret)] = _read_secret(path, one, beside)
    return found


def _read_secret(path: Path, given: Given, beside: FilePath | None) -> Given:
    if not isinstance(given.value, str):
        raise SettingsError(f"{dotted(path)} (from {given.origin}) must be the path of a file")
    file = (beside or FilePath()) / given.value
    try:
        with file.open(encoding="utf-8") as lines:
            text = lines.read(_SECRET_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(f"{dotted(path)} (from {given.origin}): {file} cannot be read: {reason}") from error
    if not text:
        raise SettingsError(f"{dotted(path)} (from {given.origin}): {file} is empty")
    return Given(text, f"the file {file}")
