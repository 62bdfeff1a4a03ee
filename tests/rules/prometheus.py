"""A real Prometheus on this machine, for as long as it is needed: it scrapes real processes and evaluates the rules."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from headrace.broker.local.free_ports import free_ports
from tests.rules.machine import RULES, tool

SCRAPE_S = 5


@dataclass
class Prometheus:
    """Asks a running Prometheus."""

    url: str
    session: aiohttp.ClientSession

    async def get(self, path: str, **parameters: str) -> Any:
        """Return `data` of an answer; an error of Prometheus' is an assertion with its sentence."""
        async with self.session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            document = await answer.json()
            assert document["status"] == "success", (path, parameters, document.get("error"))
            return document["data"]

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series that an expression has now; those without a figure are left out."""
        found = await self.get("query", query=expression)
        series = [(each["metric"], float(each["value"][1])) for each in found["result"]]
        return [(labels, value) for labels, value in series if value == value]  # noqa: PLR0124 — nan

    async def firing(self, job: str) -> dict[str, dict[str, Any]]:
        """Return the alerts of a budget that fire now, by name."""
        alerts = (await self.get("alerts"))["alerts"]
        return {
            each["labels"]["alertname"]: each
            for each in alerts
            if each["state"] == "firing" and each["labels"].get("job") == job
        }

    async def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health."""
        return [rule for group in (await self.get("rules"))["groups"] for rule in group["rules"]]


@asynccontextmanager
async def scraping(targets: Mapping[str, Sequence[str]], folder: Path) -> AsyncIterator[Prometheus]:
    """Scrape the addresses of each job every 5 s, with the shipped rules, until the block ends."""
    config = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "scrape_timeout": f"{SCRAPE_S}s", "evaluation_interval": "15s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }
    path, [port] = folder / "prometheus.yaml", free_ports(1)
    path.write_text(yaml.safe_dump(config))
    arguments = (
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    with (folder / "prometheus.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(tool("prometheus"), *arguments, stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                prometheus = Prometheus(f"http://127.0.0.1:{port}", session)
                await _ready(prometheus)
                yield prometheus
        finally:
            with suppress(ProcessLookupError):
                child.terminate()
            await child.wait()


async def _ready(prometheus: Prometheus, within_s: float = 30) -> None:
    ends = time.monotonic() + within_s
    while True:
        with suppress(aiohttp.ClientError):
            async with prometheus.session.get(f"{prometheus.url}/-/ready") as answer:
                if answer.status == 200:
                    return
        assert time.monotonic() < ends, "Prometheus is not ready"
        await asyncio.sleep(0.2)
