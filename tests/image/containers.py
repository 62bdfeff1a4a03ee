"""A fleet whose processes are containers of the image; everything else about it is as in the integration tests."""

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass

from tests.image.engine import IMAGE, as_in_a_cluster, output, podman
from tests.integration.fleet import Fleet, Process

LIFE_S = 300
"""A container outlives a run that was killed, and would wait for its Kafka for ever."""


@dataclass
class ContainerFleet(Fleet):
    """The client of a container stays attached: its output is the container's, and so is its exit code.

    Attributes:
        volumes: Files that every container sees, as `--volume` takes them.
    """

    volumes: tuple[str, ...] = ()

    async def start(self, verb: str = "dispatcher", **settings: str) -> Process:
        process = await self.begin(verb, **settings)
        await self._listening(process)
        return process

    async def begin(self, *verb: str, **settings: str) -> Process:
        """A container that need not come as far as listening; without a verb it does what the image does by itself."""
        log = self.directory / f"headrace-{self.prefix}-{os.getpid()}-{len(self.processes)}.log"
        environment = self.environment() | settings
        given = [
            f"--env={key}={value}" for key, value in environment.items() if key.startswith(("HEADRACE_", "OPENAI_"))
        ]
        shown = [f"--volume={volume}" for volume in self.volumes]
        kept = ["--rm", "--timeout", str(LIFE_S), "--name", log.stem]
        run = podman("run", *kept, "--network", "host", *as_in_a_cluster(), *shown, *given, IMAGE, *verb)
        with log.open("wb") as sink:
            child = await asyncio.create_subprocess_exec(*run, stdout=sink, stderr=sink, start_new_session=True)
        process = Process(" ".join(verb), child, log)
        self.processes.append(process)
        return process

    async def stop(self, process: Process, grace_s: int) -> float:
        """As a cluster does it: SIGTERM, and SIGKILL after the grace period; how many seconds it took."""
        begun_s = time.monotonic()
        await _podman("stop", "--time", str(grace_s), process.log.stem)
        await process.ended(within_s=10)
        return time.monotonic() - begun_s

    async def execute(self, process: Process, *command: str) -> str:
        """What a command inside the container printed."""
        return await _podman("exec", process.log.stem, *command)

    async def __aexit__(self, *error: object) -> None:
        for process in self.processes:
            if process.child.returncode is None:
                await _podman("rm", "--force", "--time", "0", process.log.stem)
                with contextlib.suppress(TimeoutError):
                    await process.ended(within_s=10)
        await super().__aexit__(*error)


async def _podman(*args: str) -> str:
    return await asyncio.to_thread(output, podman(*args))
