"""Check that no other distribution uses one of Headrace's three import names.

PyPI has foreign distributions called broker, consumers and schemas. Installed beside Headrace they overwrite files of
Headrace, and the errors that follow explain nothing; so this check runs at the start. This module imports nothing of
Headrace: it has to work where those packages are damaged, and before `headrace --help` pays for their import.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "headrace"
NAMES = ("broker", "consumers", "schemas")


class NameTaken(Exception):  # noqa: N818 - named by what holds
    """An import name is used by another distribution too; one sentence names it and says what to do."""

    exit_code = 2


def check_names(owners: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raise NameTaken if an import name is claimed by another distribution, or is found in another place.

    Args:
        owners: Import name to distributions; by default those installed here. An editable install of Headrace is not in
            it, so that absence proves nothing.
    """
    found = owners_of(NAMES, distributions()) if owners is None else owners
    for name in NAMES:
        foreign = sorted({owner for owner in found.get(name, ()) if owner.lower() != DISTRIBUTION})
        if foreign:
            raise NameTaken(
                f"The distribution {foreign[0]} also installs a Python package {name} and overwrites Headrace's: "
                f"uninstall {foreign[0]} and reinstall headrace, or install headrace in a separate environment."
            )
    homes = {name: _home(name) for name in NAMES}
    for name, home in homes.items():
        if home != homes["broker"]:
            raise NameTaken(
                f"Python finds {name} in {home}, not with Headrace's packages in {homes['broker']}: remove the "
                "other one from the path."
            )


def owners_of(names: Sequence[str], installed: Iterable[Distribution]) -> dict[str, list[str]]:
    """Return which of the installed distributions ship each of `names`.

    The standard library's function, which answers for all names at once, takes ten times as long: more than everything
    else that a verb needs to start.
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
