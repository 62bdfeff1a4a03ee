"""The clients' lines of docs/gateway.md, run on a real gateway, whose address and key take the place of the page's."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compatibility.machine import ROOT, TOOLS, node_package, run
from tests.gateway.rig import client_key
from tests.gateway.sdk_world import SdkWorld
from tests.gateway_sdks.environments import python_with
from tests.unit.pages.blocks import Block, blocks_of

PAGE = ROOT / "docs" / "gateway.md"
HERE = Path(__file__).parent
BLOCKS = [
    block
    for block in blocks_of("docs/gateway.md", PAGE.read_text(encoding="utf-8"))
    if block.runner.endswith(Path(__file__).name)
]
GO = """package main

import (
\t"context"
\t"fmt"

\t"github.com/openai/openai-go/v3"
\t"github.com/openai/openai-go/v3/option"
)

func main() {
\tctx := context.Background()
%s
\tif err != nil {
\t\tpanic(err)
\t}
\tfmt.Println(answer.Choices[0].Message.Content)
}
"""


def command(block: Block, text: str, home: Path) -> list[str]:
    """The command that runs a block and prints something of its answer."""
    if block.kind == "sh":
        return ["bash", "-euc", text.replace("curl ", "curl --silent --show-error --fail ")]
    if "pydantic" in text or text.startswith("from "):  # Python
        (home / "block.py").write_text(text + "\nprint(locals().get('answer') or lead)\n", encoding="utf-8")
        is_sdk = text.startswith("from openai")
        return [sys.executable if is_sdk else python_with("frameworks"), str(home / "block.py")]
    if text.startswith("import OpenAI"):
        script = node_package(HERE / "node") / "page.mjs"
        script.write_text(text + "\nconsole.log(answer.output_text);\n", encoding="utf-8")
        return ["node", str(script)]
    program = TOOLS / "gateway-page-go"
    program.mkdir(parents=True, exist_ok=True)
    for name in ("go.mod", "go.sum"):
        (program / name).write_text((HERE / "go" / name).read_text(encoding="utf-8"), encoding="utf-8")
    (program / "main.go").write_text(GO % text, encoding="utf-8")
    run(program, "go", "build", "-mod=readonly", "-o", "page", ".")
    return [str(program / "page")]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_clients_lines_get_an_answer(world: SdkWorld, block: Block, tmp_path: Path) -> None:
    text = block.text.replace("http://headrace-gateway:8090/v1", world.base_url).replace(
        "hr-your-key", client_key("ingest")
    )
    assert text.count(world.base_url) == text.count(client_key("ingest")) == 1
    done = subprocess.run(command(block, text, tmp_path), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{done.stdout[-2_000:]}\n{done.stderr[-4_000:]}"
    assert len(done.stdout) > 20


def test_the_page_has_lines_for_each_client() -> None:
    assert [block.kind for block in BLOCKS] == ["text"] * 5 + ["sh"]
