"""The image installs from locks of its own; they must say what the lock that all tests ran with says."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.distributions import needed

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SDKS = tuple(f"tests/gateway_sdks/python/{name}.lock" for name in ("frameworks", "openai1", "openai2"))
PARTIAL = ("requirements-runtime.lock", "requirements-build.lock")

Pins = dict[str, tuple[str, frozenset[str]]]


def pins(name: str) -> Pins:
    """Package to its version and digests."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    found = [re.match(r"([a-z0-9-]+)==(\S+)", entry) for entry in entries]
    return {
        one[1]: (one[2], frozenset(re.findall(r"--hash=(\S+)", entry)))
        for one, entry in zip(found, entries, strict=True)
        if one is not None
    }


def here(name: str) -> set[str]:
    """The packages of a lock that this machine would install: the lock serves every system and Python."""
    lines = re.findall(r"^([a-z0-9-]+)==\S+ (?:; (.+) )?\\$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {package for package, marker in lines if not marker or Marker(marker).evaluate()}


@pytest.mark.parametrize("name", PARTIAL)
def test_a_partial_lock_agrees_with_the_whole_one(name: str) -> None:
    whole, part = pins("requirements.lock"), pins(name)
    assert part
    assert part == {package: whole.get(package) for package in part}, "run: make locks"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-uv.lock", "docs/site/site.lock", *PARTIAL, *SDKS])
def test_a_lock_pins_every_package_by_digest_and_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert all(digests for _, digests in pins(name).values())
    assert "://" not in text
    assert not re.search(r"^(-|\S+ @)", text, re.MULTILINE)


def test_the_runtime_lock_holds_what_a_dispatcher_needs_and_no_more() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["server"], *extras["otel"]]
    assert here("requirements-runtime.lock") == needed(asked), "run: make locks"


def test_the_build_lock_holds_what_the_build_system_asks_for() -> None:
    locked = pins("requirements-build.lock")
    for text in PROJECT["build-system"]["requires"]:
        asked = Requirement(text)
        assert asked.specifier.contains(locked[canonicalize_name(asked.name)][0])
