"""What Kubernetes itself asks of an object: its schemas, strictly, and the restricted Pod Security Standard."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.chart import shapes, tools
from tests.chart.rendering import Object


def faults(found: Object, version: str = tools.KUBERNETES[-1]) -> list[str]:
    """What that Kubernetes' schema of the object's kind has against it. A kind without a schema is a fault as well."""
    group, _, api_version = found["apiVersion"].rpartition("/")
    if group == "monitoring.coreos.com" and found["kind"] in shapes.KINDS:
        return shapes.faults(found["kind"], found)
    name = "-".join(filter(None, (found["kind"].lower(), group.partition(".")[0], api_version)))
    validator = _validator(name, version)
    if validator is None:
        return [f"there is no schema {name}"]
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(found)]


@cache
def _validator(name: str, version: str) -> Any:
    file = tools.schemas(version) / f"{name}.json"
    if not file.exists():
        return None
    schema = json.loads(file.read_text(encoding="utf-8"))
    return Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> Any:
    contents = json.loads((tools.schemas(version) / "_definitions.json").read_text(encoding="utf-8"))
    return Resource.from_contents(contents) @ Registry()


_VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"})


def trespasses(pod: Object) -> list[str]:
    """Where a pod's spec offends against the Pod Security Standard "restricted"."""
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    found += [
        f"volume {volume['name']}" for volume in pod.get("volumes", ()) if not (_VOLUMES | {"secret"}) & set(volume)
    ]
    around = pod.get("securityContext", {})
    if around.get("sysctls"):
        found.append("sysctls")
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        found += [f"{container['name']}: {fault}" for fault in _container_trespasses(container, around)]
    return found


def _container_trespasses(container: Object, around: Object) -> Iterator[str]:
    own = container.get("securityContext", {})
    context = {**around, **own}
    capabilities = own.get("capabilities", {})
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "root"
    if context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
