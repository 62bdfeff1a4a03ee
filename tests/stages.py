"""Make targets side by side: `python -m tests.stages image static,coverage,unit services`.

Each argument is a lane: targets, with commas between them, that run one after the other beside the other lanes. The
last lane has the processors first, since its tests have the tightest time limits; the other lanes take what it leaves.

The output of every target is shown whole and in the order of the arguments: of the first as it comes, of each later one
from its beginning once those before it have ended. A target that fails ends its lane; the others go on. The last lines
of what failed are then shown again at the end.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NICE_BESIDE = 5  # a third of the last lane's weight, and enough for the time limits of the others
SHOWN_AGAIN = 60  # lines
ENDS_WITHIN_S = 60.0


@dataclass
class Target:
    """One make target, and what it writes."""

    name: str
    output: Path
    nice: int
    stopped: threading.Event
    ended: threading.Event = field(default_factory=threading.Event)
    starting: threading.Lock = field(default_factory=threading.Lock)
    process: subprocess.Popen[bytes] | None = None
    code: int | None = None
    """None: it was not begun, as one before it in its lane failed or the run was interrupted."""
    took_s: float = 0.0

    def run(self) -> bool:
        """Run it in a process group of its own until it ends; whether it succeeded."""
        began = time.monotonic()
        with self.output.open("wb") as output:
            with self.starting:
                if self.stopped.is_set():
                    return False
                self.process = subprocess.Popen(
                    ["/usr/bin/env", "nice", "-n", str(self.nice), "make", "--no-print-directory", self.name],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.code = self.process.wait()
        self.took_s = time.monotonic() - began
        return self.code == 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the target and to all that it has started, if it runs."""
        with self.starting:
            if self.process is not None and self.process.poll() is None:
                os.killpg(self.process.pid, number)

    def written(self) -> Iterator[bytes]:
        """What it writes, from the beginning, as it comes."""
        while not self.output.exists() and not self.ended.is_set():
            time.sleep(0.05)  # a poll: the thread of another lane makes the file
        if not self.output.exists():
            return
        with self.output.open("rb") as output:
            while True:
                ended = self.ended.is_set()
                if some := output.read():
                    yield some
                elif ended:
                    return
                else:
                    time.sleep(0.2)  # a poll: a file that another process writes tells no end


class Lane(threading.Thread):
    """Targets one after the other, until one fails."""

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__(daemon=True)
        self.targets = targets

    def run(self) -> None:
        """Run all of them; say of each, also of those that were not begun, that nothing more comes."""
        goes_on = True
        for target in self.targets:
            goes_on = goes_on and target.run()
            target.ended.set()

    def stop(self) -> None:
        """End what runs as Ctrl-C does; kill what has not ended in time."""
        for number in (signal.SIGINT, signal.SIGKILL):
            for target in self.targets:
                target.signal(number)
            self.join(ENDS_WITHIN_S)


def lanes_of(named: Sequence[str], directory: Path, stopped: threading.Event) -> list[Lane]:
    """Make a lane of each argument; only the last is not nice to the others."""
    lanes = []
    for place, names in enumerate(named, start=1):
        nice = 0 if place == len(named) else NICE_BESIDE
        targets = [Target(name, directory / f"{place}-{name}", nice, stopped) for name in names.split(",")]
        lanes.append(Lane(targets))
    return lanes


def show(targets: Sequence[Target]) -> None:
    """Write what each of them writes, one after the other, and how long it took."""
    for target in targets:
        for some in target.written():
            sys.stdout.buffer.write(some)
            sys.stdout.buffer.flush()
        if target.code is not None:
            print(f"stage {target.name}: {target.took_s:.0f} s", flush=True)


def show_failures(failed: Sequence[Target]) -> None:
    """Show the last lines of what failed again, as those of others may stand below them."""
    for target in failed:
        lines = target.output.read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"\n{target.name} failed with exit code {target.code}; its last lines:", flush=True)
        print("\n".join(lines[-SHOWN_AGAIN:]), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all lanes; 1 if a target failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.stages", description="Run make targets side by side.")
    parser.add_argument("lanes", nargs="+", metavar="TARGET[,TARGET…]")
    options = parser.parse_args(arguments)
    stopped = threading.Event()
    with tempfile.TemporaryDirectory(prefix="headrace-stages-") as directory:
        lanes = lanes_of(options.lanes, Path(directory), stopped)
        targets = [target for lane in lanes for target in lane.targets]
        for lane in lanes:
            lane.start()
        try:
            show(targets)
        except KeyboardInterrupt:
            stopped.set()
            for lane in lanes:
                lane.stop()
            return 130
        failed = [target for target in targets if target.code]
        show_failures(failed)
    return 1 if failed else 0


def on_sigterm(_number: int, _frame: object) -> None:
    """End as after Ctrl-C, so that nothing goes on alone."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_sigterm)
    sys.exit(main())
