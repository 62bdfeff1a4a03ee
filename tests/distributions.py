"""The distributions that a list of requirements comes to, and environments of them alone, made without a network."""

import sys
import venv
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(requirements: list[str]) -> set[str]:
    """What these requirements and theirs come to on this machine, by what is installed."""
    todo = [Requirement(each) for each in requirements]
    seen: dict[str, set[str]] = {}
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        if name in seen and one.extras <= seen[name]:
            continue
        seen.setdefault(name, set()).update(one.extras)
        asked = [Requirement(text) for text in requires(name) or ()]
        todo += [
            each
            for each in asked
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in {"", *one.extras})
        ]
    return set(seen)


def environment(folder: Path, names: set[str]) -> Path:
    """The interpreter of a new environment, into which these distributions of this one are linked."""
    venv.EnvBuilder(symlinks=True).create(folder)
    [site] = folder.glob("lib/python*/site-packages")
    for name in names:
        installed = distribution(name)
        for top in {path.parts[0] for path in installed.files or () if path.parts[0] not in {"..", "__pycache__"}}:
            if not (site / top).exists():  # a namespace of two distributions would need more
                (site / top).symlink_to(Path(str(installed.locate_file(top))))
    return folder / "bin" / Path(sys.executable).name
