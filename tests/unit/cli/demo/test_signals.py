"""The first signal stops the play, and the play takes its time to clear up."""

import asyncio
import os
import signal

import pytest

from headrace.broker.cli.demo.signals import DemoStopped, until_told_to_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_cancels_and_a_second_one_does_not_cut_the_clearing_up_short(number: signal.Signals) -> None:
    cleared = asyncio.Event()

    async def play() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)
            for _ in range(5):
                await asyncio.sleep(0)
            cleared.set()

    with pytest.raises(DemoStopped):
        await until_told_to_stop(play())
    assert cleared.is_set()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_without_a_signal_it_is_as_if_it_were_not_there() -> None:
    async def play() -> int:
        return 7

    assert await until_told_to_stop(play()) == 7


async def test_a_cancellation_of_ours_is_no_signal() -> None:
    async def play() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await until_told_to_stop(play())
