"""The simulated OpenAI of one seed over HTTP, with a record of each call: `python -m benchmarks.limiters.served SEED`.

It prints the addresses when it serves, and the record when it is told to end: one JSON object each. Besides what
`headrace upstream --behaviour random:SEED` does it notes the instant and the id of each call, and how late its own
event loop wakes, which tells whether the machine had time for the play.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.limiters.play import number_of, upstream_of
from headrace.broker.service.signals import leaving
from headrace.broker.simulator.drawn_server import drawn_server
from headrace.broker.simulator.exchange import IncomingCall
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream

_LOOK_S: Final = 0.05


class RecordingUpstream(Upstream):
    """A simulated OpenAI that notes what it admits and refuses since the start or the last reset."""

    def __init__(self, settings: UpstreamSettings) -> None:
        super().__init__(settings)
        self.admitted: list[tuple[int, int]] = []
        self.refused: list[int] = []
        self.late_us: list[int] = []
        self.watch(self._note)

    def reset(self) -> None:
        """Begin a new record as well."""
        super().reset()
        self.admitted, self.refused, self.late_us = [], [], []

    def _note(self, call: IncomingCall, reply: Reply, at_us: int) -> None:
        """Note a refusal, or an answer to a call that names itself; another error is neither."""
        name = call.headers.get("x-client-request-id")
        if reply.status == 429:
            self.refused.append(at_us)
        elif reply.status == 200 and name is not None:
            self.admitted.append((at_us, number_of(name)))

    async def notice_delays(self) -> None:
        """Note how much later than asked for the event loop wakes, for as long as this is not cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            self.late_us.append(round((loop.time() - due_s) * 1_000_000))

    def record(self) -> dict[str, Any]:
        """Return the record: `[instant in microseconds, number of the call]` of each admission, and instants."""
        return {"admitted": self.admitted, "refused": self.refused, "late_us": self.late_us}


async def serve(seed: int) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    with leaving(stopped.set):
        async with RecordingUpstream(upstream_of(drawn_server(seed))) as server:
            delays = asyncio.create_task(server.notice_delays(), name="notice delays")
            print(json.dumps({"base_url": server.base_url, "root_url": server.root_url}), flush=True)
            await stopped.wait()
            delays.cancel()
    print(json.dumps(server.record()), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the seed that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limiters.served", description=__doc__)
    parser.add_argument("seed", type=int, metavar="SEED")
    asyncio.run(serve(parser.parse_args(arguments).seed))


if __name__ == "__main__":
    main()
