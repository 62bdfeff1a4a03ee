"""Producers that are not ours: kcat (librdkafka) and Kafka's own console producer (Java)."""

import asyncio
import json
import subprocess
from pathlib import Path

from headrace.broker.local.cache import cache_dir
from headrace.broker.local.jars import classpath, ensure_jars, locked_jars, parse_lock
from headrace.broker.local.requirements import java
from headrace.broker.local.services import LocalServices
from tests.compatibility.asking import answered, dispatching
from tests.compatibility.machine import program
from tests.unit.pages.test_tested_versions import row

CONSOLE_PRODUCER_LOCK = Path(__file__).parent / "console_producer.lock"
TOPIC = "generation.requests.standard"
HEADERS = ("-H", "traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "-H", "ours=to keep")
VARIANTS: dict[str, tuple[str, ...]] = {
    "kcat-bare": (),
    "kcat-key-and-headers": ("-k", "acme", *HEADERS),
    "kcat-gzip": ("-z", "gzip"),
    "kcat-snappy": ("-z", "snappy"),
    "kcat-lz4": ("-z", "lz4"),
    "kcat-zstd": ("-z", "zstd"),
}


def bare(request_id: str) -> bytes:
    """What docs/producers.md says is enough. Compression is worth its while only for something to compress."""
    messages = [{"role": "user", "content": f"Write to {request_id}. " * 50}]
    return json.dumps({"id": request_id, "body": {"model": "gpt-4o-mini", "messages": messages}}).encode()


async def write(command: list[str], line: bytes) -> None:
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await child.communicate(line + b"\n")
    assert child.returncode == 0, said.decode()
    assert b"ERROR" not in said, said.decode()


def console_producer(where: str) -> list[str]:
    jars = (*locked_jars(), *parse_lock(CONSOLE_PRODUCER_LOCK.read_text(encoding="utf-8")))
    found = classpath(ensure_jars(jars, cache_dir() / "jars"))
    options = ["--bootstrap-server", where, "--topic", TOPIC]
    return [str(java()), "-XX:TieredStopAtLevel=1", "-cp", found, "org.apache.kafka.tools.ConsoleProducer", *options]


async def test_one_json_object_from_kcat_or_the_console_producer_is_answered(
    services: LocalServices, tmp_path: Path
) -> None:
    kcat, where = program("kcat"), services.endpoints.bootstrap_servers
    async with dispatching(services, "generation", tmp_path) as fleet:
        await fleet.start()
        for request_id, options in VARIANTS.items():
            await write([kcat, "-P", "-b", where, "-t", TOPIC, *options], bare(request_id))
        await write(console_producer(where), bare("console-producer"))
        await answered(fleet, {*VARIANTS, "console-producer"})


def test_the_page_names_this_kcat() -> None:
    said = subprocess.run([program("kcat"), "-V"], capture_output=True, text=True, check=True).stdout
    assert row("kcat") == said.partition("Version ")[2].split()[0]
