"""Linked classes are used with the very things they were made from, and with nothing else."""

import os
from pathlib import Path

import pytest

from headrace.broker.local.linked import java_command, place_of


@pytest.fixture
def java(tmp_path: Path) -> Path:
    java = tmp_path / "runtime" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.parents[1].joinpath("release").write_text("25", encoding="utf-8")
    return java


@pytest.fixture
def jars(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "one.jar", tmp_path / "two.jar"]
    for file in files:
        file.write_bytes(b"jar")
    return files


def linked(java: Path, jars: list[Path], cache: Path) -> Path:
    place = place_of(java, jars, cache)
    place.parent.mkdir()
    place.write_bytes(b"classes")
    return place


def test_where_nothing_is_linked_kafka_starts_as_ever(java: Path, jars: list[Path], tmp_path: Path) -> None:
    assert java_command(java, jars, tmp_path) == (str(java), "-cp", f"{jars[0]}{os.pathsep}{jars[1]}")


def test_what_is_linked_is_used(java: Path, jars: list[Path], tmp_path: Path) -> None:
    place = linked(java, jars, tmp_path)
    assert f"-XX:AOTCache={place}" in java_command(java, jars, tmp_path)


def test_another_java_or_other_jars_do_not_use_it(java: Path, jars: list[Path], tmp_path: Path) -> None:
    place = linked(java, jars, tmp_path)
    assert place_of(java, jars[:1], tmp_path) != place
    os.utime(jars[1], ns=(1, 1))
    assert java_command(java, jars, tmp_path)[1] == "-cp"
    other = place_of(java, jars, tmp_path)
    java.parents[1].joinpath("release").write_text("26.1", encoding="utf-8")
    assert place_of(java, jars, tmp_path) != other
