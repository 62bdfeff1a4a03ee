"""What the Prometheus operator and Grafana ask of an object: their published types and schemas.

The types refuse unknown and mistyped fields, the compiled schemas of the operator wrong patterns and missing fields.
Neither knows what Prometheus makes of a rule's text; tests/rules does.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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
    return (*_by_types(shape, text), *(_by_schema(text) if shape in KINDS else ()))


def _by_types(shape: str, text: str) -> Iterator[str]:
    home = tools.node()
    with tempfile.TemporaryDirectory(dir=home) as name:
        file = Path(name) / "given.ts"
        source = f'import type {{ {shape} }} from "../shapes";\nexport const given: {shape} = {text};\n'
        file.write_text(source, encoding="utf-8")
        said = _run(home, str(home / "node_modules" / ".bin" / "tsc"), *_TSC, str(file))
    yield from (line.partition("error ")[2] or line for line in said.splitlines() if line)


def _by_schema(text: str) -> Iterator[str]:
    node = shutil.which("node")
    if node is None:
        raise tools.ToolMissingError("node is missing: install Node 20 or newer")
    yield from _run(tools.node(), node, "validate.mjs", given=f"[{text}]").splitlines()


def _run(directory: Path, *command: str, given: str = "") -> str:
    """What a program said. A program that failed and said nothing is no finding but an error."""
    done = subprocess.run(
        command, cwd=directory, input=given, capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    if done.stderr or (done.returncode and not done.stdout):
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout
