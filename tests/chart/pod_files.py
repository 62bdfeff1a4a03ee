"""A pod's files and variables as its process finds them, laid out below a folder of the test."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from headrace.broker.settings.load import Loaded, load_with_origins
from tests.chart.rendering import Object, Rendered

Secrets = Mapping[tuple[str, str], str]
"""(name, key) of an existing Secret to what it holds."""


def settings_in(rendered: Rendered, component: str, root: Path, secrets: Secrets) -> Loaded:
    """What Headrace reads in that component's container. Raises SettingsError as it would."""
    pod = rendered.pod(component)["spec"]
    [container] = pod["containers"]
    for mount in container["volumeMounts"]:
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
        for path, text in _files(volume, rendered, secrets):
            file = root / mount["mountPath"].lstrip("/") / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    variables = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    return load_with_origins(environ={name: _below(root, value) for name, value in variables.items()})


def _below(root: Path, value: str) -> str:
    return f"{root}{value}" if value.startswith("/") else value


def _files(volume: Object, rendered: Rendered, secrets: Secrets) -> Iterator[tuple[str, str]]:
    match volume:
        case {"configMap": {"name": name, "items": items}}:
            yield from ((item["path"], secrets[name, item["key"]]) for item in items)
        case {"configMap": {"name": name}}:
            [found] = [one for one in rendered.of_kind("ConfigMap") if one["metadata"]["name"] == name]
            yield from found["data"].items()
        case {"secret": {"secretName": name, "items": items}}:
            yield from ((item["path"], secrets[name, item["key"]]) for item in items)
        case {"projected": {"sources": sources}}:
            for source in (one["secret"] for one in sources):
                yield from ((item["path"], secrets[source["name"], item["key"]]) for item in source["items"])
