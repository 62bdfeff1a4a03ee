"""What holds for every test of the run."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.virtual_time import pytest_pyfunc_call

# How long an example takes, or is made, says more of the machine than of the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

__all__ = ["pytest_pyfunc_call"]  # pytest finds its hooks here

pytest.register_assert_rewrite("tests.contract")  # so that a suite says what it found, wherever it runs


@pytest.fixture(scope="session", autouse=True)
def _no_stray_event_loop() -> None:
    """Says that there is no current event loop outside of async tests.

    Else looptime, asking for one before each test, makes Python 3.11 create a loop that nobody closes, and its
    ResourceWarning fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while tests are collected.

    What is imported and collected lives until the process ends, and to search it again and again for garbage took half
    of a worker's time before its first test: 20 of 44 s, in 6,177 collections.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Take what importing and collecting made out of every later garbage collection.

    These 400,000 objects live until the process ends, and with them a full collection takes 0.2 s. Each seed of a
    simulation ends with one: ten seeds of two releases took 9.4 s, and take 3.9.
    """
    gc.collect()
    gc.freeze()
