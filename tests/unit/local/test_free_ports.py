import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.broker.local.free_ports import accepts, free_ports


class Naming(random.Random):
    """Names one port five times, and chooses at random from then on; or never, if it may not."""

    def __init__(self, port: int, *, only: bool = False) -> None:
        super().__init__()
        self.port, self.left, self.only = port, 5, only

    def randint(self, a: int, b: int) -> int:
        self.left -= 1
        return self.port if self.only or self.left >= 0 else super().randint(a, b)


def test_ports_differ_and_lie_below_what_kernels_give_to_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20_000 <= port <= 32_700 for port in ports)


def test_a_port_that_a_server_listens_on_is_not_chosen() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = int(listener.getsockname()[1])
        assert accepts(taken)
        assert free_ports(1, chance=Naming(taken)) != (taken,)
    assert not accepts(taken)


def test_a_port_is_chosen_once_although_its_server_does_not_listen_yet() -> None:
    (chosen,) = free_ports(1)
    assert free_ports(1, chance=Naming(chosen)) != (chosen,)


def test_a_port_that_another_process_has_chosen_is_not_chosen_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.broker.local.free_ports._chosen", set())  # what is chosen once is refused for ever
    chooses = "from headrace.broker.local.free_ports import free_ports; print(*free_ports(1), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", chooses], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        theirs = int(process.stdout.readline())
        assert free_ports(1, chance=Naming(theirs)) != (theirs,)
        process.communicate("\n")
    assert free_ports(1, chance=Naming(theirs)) == (theirs,)


def test_choosing_many_ports_holds_few_file_descriptors() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        free_ports(10)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 64


def test_a_machine_without_a_free_port_says_so() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        taken = int(listener.getsockname()[1])
        with pytest.raises(OSError, match="no 2 free ports"):
            free_ports(2, chance=Naming(taken, only=True))
