"""One class name has one meaning in the product: no two of its classes share a name."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("broker", "consumers", "schemas")


def classes_by_name(*folders: Path) -> dict[str, list[str]]:
    """Where each class is defined, by its name; classes within classes and functions count as well."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(f"{file.relative_to(folder.parent)}:{node.lineno}")
    return found


def homonyms(*folders: Path) -> dict[str, list[str]]:
    """The names that several classes have."""
    return {name: places for name, places in classes_by_name(*folders).items() if len(places) > 1}


@pytest.mark.slow
def test_no_two_classes_of_the_product_share_a_name() -> None:
    assert homonyms(*(ROOT / folder for folder in PRODUCT)) == {}


@pytest.mark.slow
def test_all_classes_of_the_product_are_seen() -> None:
    seen = classes_by_name(*(ROOT / folder for folder in PRODUCT))
    assert {"Dispatch", "GenerationClient", "ResultReader", "Completed"} <= seen.keys()


def test_a_second_class_of_a_name_is_found_wherever_it_stands(tmp_path: Path) -> None:
    for package, source in (("one", "class Same: ...\nclass Other: ..."), ("two", "def make():\n    class Same: ...")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "module.py").write_text(source, encoding="utf-8")
    assert homonyms(tmp_path / "one", tmp_path / "two") == {"Same": ["one/module.py:1", "two/module.py:2"]}
