"""The recipes for FastAPI, Django and Celery with these frameworks, which no other test installs."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from tests.compatibility.asking import dispatching
from tests.compatibility.machine import LOCK, ROOT, TOOLS, install
from tests.integration.fleet import read_all

RECIPES = ROOT / "examples" / "recipes"
RECIPES_LOCK = Path(__file__).parent / "recipes.lock"
ASYNC, SYNC = ("fastapi_app", "webhook/test_other_library.py"), ("celery_app", "django_app")
LEADS = 20
TASKS = f"""
import json
from celery_app.app import app
from celery_app.emails import request_id_of
from celery_app.tasks import request_email, write_email
ids = []
for number in range({LEADS}):
    lead = f"lead-{{number}}"
    task = (write_email if number % 2 else request_email).delay(lead, "Ada")
    ids.append(task.id if number % 2 else f"{{request_id_of(lead)}}.0")
print(json.dumps([app.AsyncResult(each).get(timeout=60)["text"] for each in ids]))
"""


@cache
def environment() -> dict[str, str]:
    """The environment of a process that finds the frameworks beside what our own environment has."""
    home = TOOLS / "recipes"
    install(home, RECIPES_LOCK)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(home), str(RECIPES)))}


@pytest.mark.parametrize("recipes", [ASYNC, SYNC], ids=" ".join)
def test_their_own_tests_pass(recipes: tuple[str, ...]) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(str(RECIPES / name) for name in recipes),
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_the_lock_agrees_with_that_of_all_other_tests() -> None:
    def pins(lock: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))

    ours, whole = pins(RECIPES_LOCK), pins(LOCK)
    assert "pydantic" in ours.keys() & whole.keys()
    assert {name: whole[name] for name in ours.keys() & whole.keys()} == {
        name: ours[name] for name in ours.keys() & whole.keys()
    }


async def test_celery_workers_of_the_prefork_pool_lose_and_double_nothing_when_one_is_killed(
    services: LocalServices, tmp_path: Path
) -> None:
    async with dispatching(services, "celery-recipe", tmp_path, latency_s=0.5) as fleet:
        await fleet.start()
        urls = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"), services.endpoints.redis_url)
        known = environment() | fleet.environment() | urls
        worker = ("celery", "-A", "celery_app.app", "worker", "--concurrency", "2", "--without-mingle", "-l", "info")
        async with (
            running(known, tmp_path / "worker.log", *worker) as pool,
            running(known, tmp_path / "r.log", "celery_app"),
        ):
            results = asyncio.create_task(said(known, TASKS))
            await until(lambda: said_by(tmp_path / "worker.log").count("received") > 6)
            os.kill(children_of(pool.pid)[0], signal.SIGKILL)
            texts = json.loads(await results)
        assert len(texts) == LEADS
        assert all(texts)
        assert not any(text in said_by(tmp_path / "worker.log") for text in texts)
        outcomes = await read_all(fleet, "results", until=LEADS)
        assert set(outcomes.counts().values()) == {1}
        assert len(outcomes.counts()) == LEADS


@asynccontextmanager
async def running(known: dict[str, str], log: Path, *module: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module of a recipe as a process, until SIGTERM; it must end by itself."""
    with log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, cwd=RECIPES, env=known, stdout=output, stderr=output
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(20):
                code = await child.wait()
        except TimeoutError:
            child.kill()
            raise
    assert code == 0, said_by(log)


def said_by(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


async def said(known: dict[str, str], script: str) -> str:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        cwd=RECIPES,
        env=known,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    return out.decode()


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  # a poll of another process's log
            await asyncio.sleep(0.05)
