"""A real OpenTelemetry Collector, built once from pinned sources into the git-ignored `.tools`: it needs Go.

    python -m tests.tracing.otelcol

`collector/go.mod` and `collector/go.sum` pin every module by digest. The build takes a minute and a half of two cores;
with a warm build cache, seconds.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "0.165.0"
_SOURCES = Path(__file__).with_name("collector")
_BINARY = Path(__file__).parents[2] / ".tools" / f"otelcol-{VERSION}"
_READY_S = 20.0
_CONFIG = """\
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  file:
    path: {path}
    flush_interval: 100ms
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
"""


class CollectorMissingError(Exception):
    """The collector cannot be built on this machine; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector that runs: its address, and the file of what it has received."""

    endpoint: str
    received: Path


def binary() -> Path:
    """Return the collector, built first if this machine has none yet."""
    if not _BINARY.is_file():
        if shutil.which("go") is None:
            raise CollectorMissingError("The OpenTelemetry Collector is built with Go, which is not installed.")
        _BINARY.parent.mkdir(exist_ok=True)
        command = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", f"{_BINARY}.new", "."]
        subprocess.run(command, cwd=_SOURCES, check=True, env=os.environ | {"CGO_ENABLED": "0"}, timeout=1_200)
        Path(f"{_BINARY}.new").rename(_BINARY)
    return _BINARY


@contextmanager
def collecting(directory: Path) -> Iterator[Collector]:
    """Run a collector on loopback; its files are in `directory`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    received, config = directory / "received.jsonl", directory / "collector.yaml"
    config.write_text(_CONFIG.format(port=port, path=received))
    log = directory / "collector.log"
    with log.open("wb") as sink:
        child = subprocess.Popen([binary(), f"--config={config}"], stdout=sink, stderr=sink)
    try:
        _await_listening(child, port, log)
        yield Collector(f"http://127.0.0.1:{port}", received)
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=10)


def _await_listening(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + _READY_S
    while time.monotonic() < ends:
        assert child.poll() is None, log.read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)  # a poll: a collector gives no notice once it listens
        else:
            return
    raise AssertionError(log.read_text(errors="replace"))


if __name__ == "__main__":
    began = time.monotonic()
    sys.stdout.write(f"{binary()} ({time.monotonic() - began:.0f} s)\n")
