"""What helm makes of values: the objects, or the sentence by which it refuses."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.chart import tools

CHART = Path(__file__).parents[2] / "helm" / "headrace"
EXAMPLES = {"default": None} | {name: CHART / "examples" / f"values-{name}.yaml" for name in ("staging", "production")}
NAMESPACE = "ai"

Values = Mapping[str, Any]
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of one release."""

    objects: tuple[Object, ...]

    def of_kind(self, kind: str) -> list[Object]:
        """All objects of that kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, component: str) -> Object:
        """The only object of that kind and component."""
        [found] = [found for found in self.of_kind(kind) if component_of(found) == component]
        return found

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Component and pod template of everything that runs."""
        for found in (*self.of_kind("Deployment"), *self.of_kind("Job")):
            yield component_of(found), found["spec"]["template"]

    def pod(self, component: str) -> Object:
        """The pod template of that component."""
        return dict(self.pods())[component]

    def toml(self, component: str = "settings") -> str:
        """The settings file in the ConfigMap of that component."""
        return str(self.one("ConfigMap", component)["data"]["headrace.toml"])


def component_of(found: Object) -> str:
    """What the object belongs to."""
    return str(found["metadata"]["labels"]["app.kubernetes.io/component"])


def render(values: Values | None = None, *, example: str = "default", release: str = "rel") -> Rendered:
    """The objects that these values make, laid over an example's. Raises CalledProcessError if helm refuses."""
    done = _helm("template", release, str(CHART), "--namespace", NAMESPACE, *_files(example), given=_text(values))
    done.check_returncode()
    return Rendered(tuple(found for found in yaml.load_all(done.stdout, _Loader) if found))


def refusal(values: Values, *, example: str = "default") -> str:
    """What helm prints instead of objects: the sentence alone."""
    done = _helm("template", "rel", str(CHART), *_files(example), given=_text(values))
    assert done.returncode != 0, "helm accepted it"
    assert not done.stdout
    told = re.search(r"^- (at '.*)$|^Error: execution error at \(\S+\): (.*)$", done.stderr, re.MULTILINE)
    assert told, done.stderr
    return str(told[1] or told[2])


def lint(example: str) -> subprocess.CompletedProcess[str]:
    """What `helm lint --strict` says of an example."""
    return _helm("lint", "--strict", str(CHART), *_files(example), given="{}")


def notes(values: Values | None = None, *, example: str = "default") -> str:
    """What helm tells a person after the installation."""
    done = _helm(
        *("install", "rel", str(CHART), "--namespace", NAMESPACE, "--dry-run=client", "--kubeconfig", "/nonexistent"),
        *_files(example),
        given=_text(values),
    )
    done.check_returncode()
    return done.stdout.partition("\nNOTES:\n")[2]


def _files(example: str) -> tuple[str, ...]:
    file = EXAMPLES[example]
    return (*(("-f", str(file)) if file else ()), "-f", "-")


def _text(values: Values | None) -> str:
    return json.dumps(values or {}, ensure_ascii=False)  # YAML knows no surrogates


@cache
def _helm(*arguments: str, given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tools.helm(), *arguments], input=given, capture_output=True, text=True, timeout=30, check=False
    )


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
