"""The places where a setting can be given: the TOML file, the environment, the flags, and files that hold one secret.

What cannot be read is reported and left out, so that one look finds every mistake.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from headrace.broker.settings.known import group_at, nearest_key, secret_keys
from headrace.broker.settings.lines import line_at, lines_of
from headrace.broker.settings.mistakes import Complain, Mistake
from headrace.broker.settings.origins import Given, Leaves, Path, SettingOrigin, SourceKind, dotted, leaves
from headrace.broker.settings.whole import Settings
from headrace.schemas.bounded_json import json_or_none

PREFIX = "HEADRACE_"
_OTHER_PURPOSES = frozenset({"CONFIG", "CACHE_DIR", "DEBUG"})
_KUBERNETES = re.compile(r"(^|_)(PORT|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)$")
"""Variables that Kubernetes sets in every pod for a Service with a name that begins with `headrace`."""

_OPENAI_NAMES = {
    "OPENAI_API_KEY": "api_key",
    "OPENAI_API_KEY_FILE": "api_key_file",
    "OPENAI_BASE_URL": "base_url",
    "OPENAI_ORG_ID": "organization",
    "OPENAI_PROJECT_ID": "project",
}
_SECRET_CHARS_MAX = 64 * 1024


def from_file(config: FilePath, complain: Complain) -> Leaves:
    """Return the values of the TOML file `config`, each with its line."""
    said = ""
    try:
        text = config.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except OSError as error:
        said = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError:
        said = "is not UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        said = f"is not TOML: {error}"
    if said:
        complain(Mistake(f"the settings file {config} {said}", origins=(SettingOrigin(SourceKind.FILE, str(config)),)))
        return {}
    lines = lines_of(text)
    found = {
        path: Given(one.value, SettingOrigin(SourceKind.FILE, str(config), line_at(path, lines)))
        for path, one in leaves(tree, SettingOrigin(SourceKind.FILE, str(config))).items()
    }
    return _with_secrets(found, complain, beside=config.parent)


def from_openai_names(environ: Mapping[str, str], complain: Complain) -> Leaves:
    """Return the values of OpenAI's own variables: fall-backs below every other place."""
    given: Leaves = {}
    for name, key in _OPENAI_NAMES.items():
        if environ.get(name):
            given["openai", key] = Given(environ[name], SettingOrigin(SourceKind.ENVIRONMENT, name))
    return _with_secrets(given, complain)


def from_environment(environ: Mapping[str, str], complain: Complain) -> Leaves:
    """Return the values of `HEADRACE_<GROUP>__<KEY>` and of whole groups as JSON; an empty variable counts as not set.

    Names are case-blind and read as lower case. A name that is no setting is a mistake: a typing error here would
    otherwise go unnoticed.
    """
    whole: Leaves = {}
    single: Leaves = {}
    for name, text in sorted(environ.items()):
        rest = name.upper().removeprefix(PREFIX)
        if rest == name.upper() or rest in _OTHER_PURPOSES or not text:
            continue
        path = tuple(rest.lower().split("__"))
        if path[0] not in Settings.model_fields:
            if "__" in rest or not _is_of_kubernetes(rest, text):
                sentence = f"the environment variable {name} is not a setting: the nearest is {_variable_like(rest)}"
                complain(Mistake(sentence, origins=(SettingOrigin(SourceKind.ENVIRONMENT, name),)))
            continue
        target = whole if group_at(path) is not None or len(path) == 1 else single
        target.update(_read_variable(name, path, text, complain))
    return _with_secrets({**whole, **single}, complain)


def from_flags(overrides: Mapping[str, object], complain: Complain) -> Leaves:
    """Return the values of flags: dotted key to value, where None stands for a flag that was not used."""
    given: Leaves = {}
    for key, value in overrides.items():
        path = tuple(key.split("."))
        flag = SettingOrigin(SourceKind.FLAG, f"--{path[-1].replace('_', '-')}")
        if isinstance(value, Mapping):
            given.update(leaves(value, flag, path))
        elif value is not None:
            given[path] = Given(value, flag)
    return _with_secrets(given, complain)


def _read_variable(name: str, path: Path, text: str, complain: Complain) -> Leaves:
    origin = SettingOrigin(SourceKind.ENVIRONMENT, name)
    is_table = len(path) == 1 or group_at(path) is not None
    if not is_table:
        return {path: Given(_listed(path, text), origin)}
    if text.strip().lower() == "false":
        return {path: Given(False, origin)}
    said = " as a JSON object"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        value, said = None, f" as JSON, and does not: {error}"
    if not isinstance(value, dict):
        complain(Mistake(f"{origin} must hold the group {dotted(path)}{said}", (path,), (origin,)))
        return {}
    return leaves(value, origin, path) or {path: Given({}, origin)}


def _listed(path: Path, text: str) -> Any:
    """Return text, or the parts of a comma-separated list where a list is wanted."""
    group = group_at(path[:-1])
    field = group.model_fields.get(path[-1]) if group else None
    if field is None or field.annotation != tuple[str, ...]:
        return text
    if text.lstrip().startswith("["):
        parsed = json_or_none(text)
        return text if parsed is None else parsed
    return [part.strip() for part in text.split(",")]


def _is_of_kubernetes(rest: str, text: str) -> bool:
    """Return whether Kubernetes has set it: `…_PORT` alone holds `tcp://…` then; otherwise an underscore was lost."""
    found = _KUBERNETES.search(rest)
    return found is not None and (found[2] != "PORT" or "://" in text)


def _variable_like(rest: str) -> str:
    """Return the variable most likely meant, such as for a single underscore between group and key."""
    lowered = rest.lower()
    for group in Settings.model_fields:
        if lowered.startswith(f"{group}_"):
            key = nearest_key((group, lowered.removeprefix(f"{group}_").lstrip("_")))
            return PREFIX + key.upper().replace(".", "__")
    head, _, tail = lowered.partition("__")
    group = nearest_key((head,)) if tail else nearest_key((lowered,))
    return PREFIX + "__".join([*group.upper().split("."), *([tail.upper()] if tail else [])])


def _with_secrets(given: Leaves, complain: Complain, beside: FilePath | None = None) -> Leaves:
    """Replace every `<secret>_file` by the content of that file; a relative path is beside the settings file."""
    found: Leaves = {}
    for path, one in given.items():
        group = group_at(path[:-1])
        secret = (*path[:-1], path[-1].removesuffix("_file"))
        if group is None or secret == path or secret[-1] not in secret_keys(group):
            found[path] = one
        elif secret in given:
            both = given[secret].origin
            sentence = f"{dotted(secret)} is given twice: from {both} and from {one.origin}"
            complain(Mistake(sentence, (secret, path), (both, one.origin)))
        else:
            read = _read_secret(one, beside)
            if isinstance(read, Given):
                found[secret] = read
            else:
                complain(Mistake(f"{dotted(path)} (from {one.origin}){read}", (secret, path), (one.origin,)))
    return found


def _read_secret(given: Given, beside: FilePath | None) -> Given | str:
    """Return the secret, or the rest of a sentence that says why there is none.

    Line breaks at the end of the file are no part of it, as editors and `echo` write them; nor is a byte order mark.
    """
    if not isinstance(given.value, str):
        return " must be the path of a file"
    file = (beside or FilePath()) / given.value
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            text = lines.read(_SECRET_CHARS_MAX + 1).rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        if _is_path(given.value):
            return f": {file} cannot be read: {why}"
        return f" does not name a readable file ({why}); to give the secret itself, use the key without _file"
    if len(text) > _SECRET_CHARS_MAX:
        return f": {file} is too large to be a secret"
    return Given(text, SettingOrigin(SourceKind.SECRET_FILE, str(file))) if text.strip() else f": {file} is empty"


def _is_path(text: str) -> bool:
    """Return whether it may be repeated: a secret that was written in the place of its file's name is never shown."""
    directory, slash, _ = text.rpartition("/")
    try:
        return bool(slash) and bool(directory) and FilePath(directory).is_dir()
    except (OSError, ValueError):
        return False
