"""The wheel in environments of services: beside an older openai and redis, and with the oldest packages it names."""

import asyncio
import json
import os
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from headrace.broker.local.services import LocalServices
from tests.compatibility.asking import dispatching
from tests.compatibility.machine import ROOT, interpreter, run, uv
from tests.integration.test_installed_wheel import built

SERVICE = Path(__file__).with_name("pinned_service.py")
OLD = ("openai>=1.60,<2", "redis>=5,<6")
OLDEST_PYTHON = "3.11"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lower_ends() -> dict[str, str]:
    """The release with which the range of each package of the client begins."""
    asked = [Requirement(each) for each in PROJECT["dependencies"]]
    return {one.name: each.version for one in asked for each in one.specifier if each.operator == ">="}


def environment(folder: Path, *options: str) -> Path:
    """An environment with the wheel, an older openai and redis, and what the three require."""
    wheel = built("wheel", ROOT, folder / "built")
    installer, home = uv(), folder / "environment"
    run(ROOT, *installer, "venv", "--no-project", "--python", interpreter(OLDEST_PYTHON), str(home))
    python = home / "bin" / "python"
    run(ROOT, *installer, "pip", "install", "--python", str(python), *options, str(wheel), *OLD)
    return python


@pytest.mark.parametrize("ends", ["upper", "lower"])
async def test_a_service_with_an_older_openai_and_redis_submits_and_reads(
    ends: str, services: LocalServices, tmp_path: Path
) -> None:
    options = ("--resolution", "lowest-direct") if ends == "lower" else ()
    least = [f"{name}=={version}.*" for name, version in lower_ends().items()] if ends == "lower" else []
    python = environment(tmp_path, *options, *least)
    async with dispatching(services, f"pins-{ends}", tmp_path) as fleet:
        await fleet.start()
        known = {
            "KAFKA": services.endpoints.bootstrap_servers,
            "REDIS": services.endpoints.redis_url,
            "PREFIX": fleet.prefix,
            "UPSTREAM": fleet.base_url,
            "PATH": os.environ["PATH"],
        }
        child = await asyncio.create_subprocess_exec(
            str(python),
            "-W",
            "error",
            str(SERVICE),
            cwd=tmp_path,
            env=known,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0, err.decode()
    versions = json.loads(out)
    assert versions["openai"].startswith("1.")
    assert versions["redis"].startswith("5.")
    if ends == "lower":
        assert {name: versions[name].rpartition(".")[0] for name in lower_ends()} == lower_ends()


def test_the_extra_of_the_dispatcher_is_refused_beside_them(tmp_path: Path) -> None:
    """The resolver says so at the installation, instead of a dispatcher in production."""
    python = environment(tmp_path)
    [wheel] = (tmp_path / "built").iterdir()
    with pytest.raises(AssertionError, match="requirements are unsatisfiable"):
        run(ROOT, *uv(), "pip", "install", "--python", str(python), f"{wheel}[server]", *OLD)
