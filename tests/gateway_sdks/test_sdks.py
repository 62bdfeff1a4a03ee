"""OpenAI's SDKs for Node and Go, older ones for Python, LangChain, instructor and curl, unmodified, on a real gateway.

Each program here fails by itself where an answer is not what its SDK makes of OpenAI's. What a repetition after a
time-out paid for is counted at OpenAI.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.compatibility.machine import ROOT, TOOLS, node_package, run, unavailable
from tests.gateway.rig import client_key
from tests.gateway.sdk_world import SdkWorld
from tests.gateway_sdks.environments import python_with

HERE = Path(__file__).parent
GO = "github.com/openai/openai-go"


def tried(world: SdkWorld, *command: str, **more: str) -> str:
    environment = os.environ | {
        "GATEWAY_URL": world.base_url,
        "GATEWAY_KEY": client_key("ingest"),
        "CAPPED_KEY": client_key("capped"),
        **more,
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, f"{done.stdout[-3_000:]}\n{done.stderr[-6_000:]}"
    return done.stdout


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_older_python_sdk_works_by_its_base_url(world: SdkWorld, version: str) -> None:
    tried(world, python_with(f"openai{version}"), str(HERE / "python" / "any_openai.py"))
    assert world.paid(f"python-{version}") == 1


def test_langchain_and_instructor_work_by_their_base_url(world: SdkWorld) -> None:
    tried(world, python_with("frameworks"), str(HERE / "python" / "frameworks.py"))
    assert world.paid("langchain") == 1


@pytest.mark.parametrize("package", ["openai4", "openai5", "openai6", "openai"])
def test_the_node_sdk_works_by_its_base_url(world: SdkWorld, package: str) -> None:
    home = node_package(HERE / "node")
    tried(world, "node", str(home / "any_openai.mjs"), package)
    assert world.paid(f"node-{package}") == 1


@pytest.mark.parametrize("version", ["v3", "v2", "v1"])
def test_the_go_sdk_works_by_its_base_url(world: SdkWorld, version: str) -> None:
    if shutil.which("go") is None:
        unavailable("go is missing: install Go 1.26 or newer.")
    home = TOOLS / "gateway-sdks-go"
    shutil.copytree(HERE / "go", home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("main.go"))
    program = home / version
    program.mkdir(exist_ok=True)
    text = (HERE / "go" / "main.go").read_text(encoding="utf-8")
    path = GO if version == "v1" else f"{GO}/{version}"
    (program / "main.go").write_text(text.replace(f"{GO}/v3", path), encoding="utf-8")
    run(program, "go", "vet", "-mod=readonly", ".")
    run(program, "go", "build", "-mod=readonly", "-o", "smoke", ".")
    tried(world, str(program / "smoke"), MARKER=f"go-{version}")
    assert (world.paid(f"go-{version}"), world.paid(f"go-{version}-named")) == (1, 1)


def test_curl_gets_an_answer_a_stream_and_an_error(world: SdkWorld) -> None:
    if shutil.which("curl") is None:
        unavailable("curl is missing: install it with `apt-get install curl`, as root.")

    def curl(key: str, body: object) -> str:
        call = (f"{world.base_url}/chat/completions", "-H", f"Authorization: Bearer {key}", "--json", json.dumps(body))
        return run(ROOT, "curl", "--silent", "--show-error", "--no-buffer", *call)

    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write to Ada."}]}
    key = client_key("ingest")
    assert json.loads(curl(key, body))["choices"][0]["message"]["content"]
    assert curl(key, body | {"stream": True}).endswith("data: [DONE]\n\n")
    assert json.loads(curl("wrong", body))["error"]["code"] == "invalid_api_key"
