"""Reading the settings once: file, then environment over it, then flags; one sentence if anything is wrong."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from broker.errors import SettingsError
from broker.settings.lanes import LANE_DEFAULTS
from broker.settings.origins import Given, Leaves, lay_over, leaves, origin_of, tree_of
from broker.settings.sentences import sentence
from broker.settings.sources import from_environment, from_file, from_flags, from_openai_names
from broker.settings.whole import Settings

CONFIG_VARIABLE = "HEADRACE_CONFIG"
_DEFAULT = "the defaults"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings and where each value came from."""

    settings: Settings
    given: Leaves

    def origin(self, *path: str) -> str:
        """Where the value at `path`, such as ("kafka", "username"), came from."""
        return origin_of(path, self.given) or _DEFAULT


def load_settings(
    config_path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """The effective settings.

    Args:
        config_path: the TOML file; without it the one that HEADRACE_CONFIG names, if any.
        overrides: what flags give, dotted key to value; None stands for a flag that was not used.
        environ: the environment variables.

    Raises:
        SettingsError: one sentence that says which key, from where, and what is expected.
    """
    return load_with_origins(config_path, overrides, environ).settings


def load_with_origins(
    config_path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """As `load_settings`, with the origin of every value."""
    given = leaves({"lanes": LANE_DEFAULTS}, _DEFAULT)
    lay_over(given, from_openai_names(environ))
    config = config_path or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if config is not None:
        lay_over(given, from_file(config))
    lay_over(given, from_environment(environ))
    lay_over(given, from_flags(overrides or {}))
    _take_away_lanes(given)
    try:
        settings = Settings.model_validate(tree_of(given))
    except ValidationError as error:
        raise SettingsError(sentence(error, given)) from error
    return Loaded(settings, given)


def _take_away_lanes(given: Leaves) -> None:
    """A lane set to `false` is none: the only way to do without one of the default lanes."""
    for path, one in list(given.items()):
        if path[:1] == ("lanes",) and len(path) == 2 and one.value is False:
            del given[path]
            lay_over(given, {("lanes",): Given({}, one.origin)})
