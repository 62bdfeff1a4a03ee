"""What the Prometheus operator and Grafana ask of an object: their published types and schemas.

The types refuse unknown and mistyped fields, the compiled schemas of the operator wrong patterns and missing fields.
Neither knows what Prometheus makes of a rule's text; tests/rules does.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.chart import tools

KINDS = ("PodMonitor", "PrometheusRule")
"""Custom kinds that the chart makes."""

_TSC = ("--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler")


def faults(shape: str, found: Any) -> list[str]:
    """What the type of that name, and the schema of a custom kind, have against the object."""
    return list(_faults(shape, json.dumps(found, indent=1)))


@cache
def _faults(shape: str, text: str) -> tuple[str, ...]:
    [found] = faults_of([(shape, json.loads(text))])
    return tuple(found)


def faults_of(given: Sequence[tuple[str, Any]]) -> list[list[str]]:
    """The same for several at once, for which the compiler starts once."""
    told: list[list[str]] = [[] for _ in given]
    for place, fault in (*_by_types(given), *_by_schemas(given)):
        told[place].append(fault)
    return told


def _by_types(given: Sequence[tuple[str, Any]]) -> Iterator[tuple[int, str]]:
    home = tools.node()
    with tempfile.TemporaryDirectory(dir=home) as name:
        shutil.copy(tools.NODE / "shapes.ts", name)
        files = [Path(name) / f"given-{place}.ts" for place in range(len(given))]
        for file, (shape, found) in zip(files, given, strict=True):
            source = f'import type {{ {shape} }} from "./shapes";\nexport const given: {shape} = '
            file.write_text(f"{source}{json.dumps(found, indent=1)};\n", encoding="utf-8")
        said = _run(home, str(home / "node_modules" / ".bin" / "tsc"), *_TSC, *map(str, files))
    for line in said.splitlines():
        at = re.match(r"\S*given-(\d+)\.ts\(.*?\): error (.*)", line)
        if at:
            yield int(at[1]), at[2]
        elif not line.startswith(" "):  # else it explains the one before
            raise RuntimeError(f"tsc: {line}")


def _by_schemas(given: Sequence[tuple[str, Any]]) -> Iterator[tuple[int, str]]:
    node = shutil.which("node")
    if node is None:
        raise tools.ToolMissingError("node is missing: install Node 20 or newer")
    custom = [(place, found) for place, (shape, found) in enumerate(given) if shape in KINDS]
    if custom:
        program = (tools.NODE / "validate.mjs").read_text(encoding="utf-8")
        said = _run(
            tools.node(),
            node,
            "--input-type=module",
            "--eval",
            program,
            given=json.dumps([found for _, found in custom]),
        )
        for line in said.splitlines():
            number, _, fault = line.partition(" ")
            yield custom[int(number)][0], fault


def _run(directory: Path, *command: str, given: str = "") -> str:
    """What a program said. A program that failed and said nothing is no finding but an error."""
    done = subprocess.run(
        command, cwd=directory, input=given, capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    if done.stderr or (done.returncode and not done.stdout):
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout
