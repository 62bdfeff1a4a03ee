import random
import socket

import pytest

from broker.local.free_ports import accepts, free_ports


def test_ports_differ_and_lie_below_what_kernels_give_to_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20_000 <= port <= 32_700 for port in ports)


def test_a_port_that_somebody_listens_on_is_not_chosen() -> None:
    (expected,) = free_ports(1, chance=random.Random(7))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", expected))
        listener.listen()
        assert accepts(expected)
        assert free_ports(1, chance=random.Random(7)) != (expected,)
    assert not accepts(expected)


def test_a_machine_without_a_free_port_says_so() -> None:
    class Stuck(random.Random):
        def randint(self, a: int, b: int) -> int:
            return taken

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        taken = int(listener.getsockname()[1])
        with pytest.raises(OSError, match="no 2 free ports"):
            free_ports(2, chance=Stuck())
