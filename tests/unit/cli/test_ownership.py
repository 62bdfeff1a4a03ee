"""Foreign distributions that ship our import names are found before they can do harm."""

from importlib.metadata import distributions
from pathlib import Path

import pytest

from headrace.broker.cli.ownership import NameTaken, check_names, owners_of


def test_names_of_headrace_alone_are_fine() -> None:
    check_names({"broker": ["headrace"], "consumers": ["headrace", "headrace"], "schemas": ["Headrace"]})


def test_an_editable_install_that_claims_no_name_is_fine() -> None:
    check_names({})


def test_this_environment_is_fine() -> None:
    check_names()


def test_a_foreign_owner_is_named_with_what_to_do() -> None:
    with pytest.raises(NameTaken) as caught:
        check_names({"broker": ["headrace"], "schemas": ["headrace", "schemas"]})
    assert str(caught.value) == (
        "The distribution schemas also installs a Python package schemas and overwrites Headrace's: uninstall "
        "schemas and reinstall headrace, or install headrace in a separate environment."
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("file", "content", "owners"),
    [
        ("RECORD", "broker/deep/er.py,sha256=x,1\n", ["foreign"]),
        ("RECORD", "first.py,,\nbroker.py,sha256=x,1\n", ["foreign"]),
        ("RECORD", "mine/broker/a.py,,\nbrokers/a.py,,\nbroker/data.json,,\nbroker-1.dist-info/RECORD,,\n", []),
        ("top_level.txt", "first\nbroker\n", ["foreign"]),
        ("top_level.txt", "brokers\n", []),
    ],
)
def test_whoever_installs_a_module_of_that_name_claims_it(
    file: str, content: str, owners: list[str], tmp_path: Path
) -> None:
    home = tmp_path / "foreign-1.dist-info"
    home.mkdir()
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n", encoding="utf-8")
    (home / file).write_text(content, encoding="utf-8")
    found = owners_of(["broker", "clients"], distributions(path=[str(tmp_path)]))
    assert found == {"broker": owners, "clients": []}
