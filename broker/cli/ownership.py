"""Whether our three import names are ours alone.

PyPI has foreign distributions called broker, consumers and schemas. Installed beside Headrace they overwrite files of
ours, and what follows is an error nobody can read; so the start says it first. This module imports nothing of ours:
it has to work where our packages are damaged, and before `headrace --help` pays for them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "headrace"
NAMES = ("broker", "consumers", "schemas")


class NameTaken(Exception):  # noqa: N818 - named by what holds
    """One sentence: which name of ours is somebody else's too, and what to do."""

    exit_code = 2


def check_names(owners: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raises NameTaken if an import name of ours is claimed by, or found at, somebody else.

    Args:
        owners: import name to distributions; by default what is installed here. An editable install of ours is not in
            it, so that absence proves nothing.
    """
    found = owners_of(NAMES, distributions()) if owners is None else owners
    for name in NAMES:
        foreign = sorted({owner for owner in found.get(name, ()) if owner.lower() != DISTRIBUTION})
        if foreign:
            raise NameTaken(
                f"The Python package {name} belongs to the distribution {foreign[0]} too, which overwrites Headrace's: "
                f"uninstall {foreign[0]}, install headrace again, or give it an environment of its own."
            )
    homes = {name: _home(name) for name in NAMES}
    for name, home in homes.items():
        if home != homes["broker"]:
            raise NameTaken(
                f"Python finds {name} in {home}, and not beside Headrace's own packages in {homes['broker']}: "
                "take the other one off the path."
            )


def owners_of(names: Sequence[str], installed: Iterable[Distribution]) -> dict[str, list[str]]:
    """Which of the installed distributions ship each of `names`.

    The library has an answer for all names at once, which takes ten times as long: more than all else that a verb needs
    to start.
    """
    owners: dict[str, list[str]] = {name: [] for name in names}
    for one in installed:
        declared = (one.read_text("top_level.txt") or "").split()
        files = "" if declared else one.read_text("RECORD") or ""
        for name in names:
            if name in declared or _is_module_in(name, files):
                owners[name].append(one.metadata["Name"])
    return owners


def _is_module_in(name: str, files: str) -> bool:
    return name in files and re.search(rf"^{name}(/.*)?\.py,", files, re.MULTILINE) is not None


def _home(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent.parent if spec is not None and spec.origin is not None else None
