"""The extras of the distribution, and what is said where one is missing."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from headrace.broker.extras import MODULES, missing_sentence, require

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PARTLY = {"server": ("sys", "no_such_module", "nor_this_one")}


def asked(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


@pytest.mark.parametrize("extra", sorted(MODULES))
def test_an_extra_is_recognised_by_a_module_of_each_package_that_it_adds(extra: str) -> None:
    """httpx2 is one of openai's requirements, by which an older openai is told apart."""
    of_module = packages_distributions()
    recognised = {
        canonicalize_name(name) for module in MODULES[extra] if module != "httpx2" for name in of_module[module]
    }
    assert recognised == asked(PROJECT["optional-dependencies"][extra]) - asked(PROJECT["dependencies"])


@pytest.mark.parametrize("extra", sorted(MODULES))
def test_where_an_extra_is_installed_nothing_is_said(extra: str) -> None:
    assert missing_sentence(extra, "the verbs") is None
    require(extra, "the verbs")


def test_missing_modules_are_named_with_what_to_install() -> None:
    with pytest.raises(
        ModuleNotFoundError,
        match=re.escape("verbs need more than the client that is installed (missing: no_such_module, nor_this_one): ")
        + r"pip install 'headrace\[server\]'\.$",
    ):
        require("server", "the verbs", PARTLY)


@pytest.mark.parametrize("extra", ["local", "plot"])
def test_an_extra_for_verbs_brings_the_verbs(extra: str) -> None:
    assert "headrace[server]" in PROJECT["optional-dependencies"][extra]


def test_the_client_has_no_requirement_that_a_service_might_pin_otherwise() -> None:
    assert asked(PROJECT["dependencies"]) == {"aiokafka", "cramjam", "pydantic"}
