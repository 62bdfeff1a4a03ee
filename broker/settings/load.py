"""Reading of the settings, once: the file, then the environment over it, then flags.

Every caller but `config check` wants the settings or one sentence. `examine` finds every mistake: each wrong value is
reported and left out, and the rest is built again, until only contradictions between groups could be left.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from headrace.broker.errors import SettingsError
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.settings.mistakes import Complain, Mistake
from headrace.broker.settings.origins import DEFAULTS, Given, Leaves, SourceKind, lay_over, leaves, origin_of, tree_of
from headrace.broker.settings.origins import Path as Key
from headrace.broker.settings.sentences import mistakes_in
from headrace.broker.settings.sources import from_environment, from_file, from_flags, from_openai_names
from headrace.broker.settings.whole import Settings

CONFIG_VARIABLE = "HEADRACE_CONFIG"
_ROUNDS_MAX = 100
"""Most rounds of leaving out what is wrong and building the rest: each round leaves out at least one value."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings and the origin of each value."""

    settings: Settings
    given: Leaves

    def origin(self, *path: str) -> str:
        """Name the origin of the value at `path`, such as ("kafka", "username")."""
        return str(origin_of(path, self.given) or DEFAULTS)


@dataclass(frozen=True, slots=True)
class Examined:
    """Result of `examine`: the settings if nothing is wrong, and otherwise every mistake."""

    loaded: Loaded | None
    given: Leaves
    mistakes: tuple[Mistake, ...]


def load_settings(
    config_path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the effective settings.

    Args:
        config_path: The TOML file; without it the one that HEADRACE_CONFIG names, if any.
        overrides: The values of flags, dotted key to value; None stands for a flag that was not used.
        environ: The environment variables.

    Raises:
        SettingsError: One sentence that says which key, from where, and what is expected.
    """
    return load_with_origins(config_path, overrides, environ).settings


def load_with_origins(
    config_path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Return the effective settings as `load_settings`, with the origin of every value."""
    examined = examine(config_path, overrides, environ)
    if examined.loaded is not None:
        return examined.loaded
    first, more = examined.mistakes[0].sentence, len(examined.mistakes) - 1
    others = f" (and {more} more mistake{'s' if more > 1 else ''}: `headrace config check` lists them)"
    raise SettingsError(first + (others if more else ""))


def examine(
    config_path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Examined:
    """Find every mistake instead of raising the first one as `load_settings` does."""
    mistakes: list[Mistake] = []
    given = _gathered(config_path, overrides or {}, environ, mistakes.append)
    settings = _built(given, mistakes)
    loaded = None if settings is None or mistakes else Loaded(settings, given)
    return Examined(loaded, given, tuple(sorted(mistakes, key=_in_reading_order)))


def _in_reading_order(mistake: Mistake) -> tuple[int, str, int]:
    """Order mistakes: a file from its top to its end, then the environment, then flags."""
    first = mistake.origins[0] if mistake.origins else DEFAULTS
    return list(SourceKind).index(first.source), first.name, first.line or 0


def _gathered(
    config_path: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str], complain: Complain
) -> Leaves:
    given = leaves({"lanes": LANE_DEFAULTS}, DEFAULTS)
    lay_over(given, from_openai_names(environ, complain))
    config = config_path or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if config is not None:
        lay_over(given, from_file(config, complain))
    lay_over(given, from_environment(environ, complain))
    lay_over(given, from_flags(overrides, complain))
    _take_away_lanes(given)
    return given


def _take_away_lanes(given: Leaves) -> None:
    """Remove each lane set to `false`: the only way to do without one of the default lanes."""
    for path, one in list(given.items()):
        if path[:1] == ("lanes",) and len(path) == 2 and one.value is False:
            del given[path]
            lay_over(given, {("lanes",): Given({}, one.origin)})


def _built(given: Leaves, mistakes: list[Mistake]) -> Settings | None:
    """Return the settings, or None once every mistake in `given` has been added to `mistakes`."""
    sound = dict(given)
    for _ in range(_ROUNDS_MAX):
        try:
            return Settings.model_validate(tree_of(sound))
        except ValidationError as error:
            found = mistakes_in(error, given)
        before = list(mistakes)
        mistakes += [one for one in found if not (one.follows and _is_doubtful(one, before))]
        keys = [key for one in found for key in one.keys]
        if not [key for key in keys if _leave_out(sound, key)]:
            break
    return None


def _is_doubtful(mistake: Mistake, others: Iterable[Mistake]) -> bool:
    return any(other.concerns(key) for other in others for key in mistake.keys)


def _leave_out(sound: Leaves, key: Key) -> bool:
    """Remove what was given at `key` or, if nothing was, its whole table; the defaults of lanes come back."""
    for at in (key, key[:-1]):
        taken = [
            path
            for path, one in sound.items()
            if path[: len(at)] == at or (at[: len(path)] == path and one.value != {})
        ]
        taken = [path for path in taken if path not in _LANES or sound[path] != _LANES[path]]
        if at and taken:
            for path in taken:
                del sound[path]
            sound.update({path: one for path, one in _LANES.items() if path[: len(at)] == at})
            return True
    return False


_LANES = leaves({"lanes": LANE_DEFAULTS}, DEFAULTS)
