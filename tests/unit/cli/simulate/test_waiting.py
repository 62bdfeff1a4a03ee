import pytest

from headrace.broker.cli.simulate.waiting import waiting


class Clock:
    """Stands still until it is set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_in_a_pipe_a_long_run_tells_every_ten_seconds_how_far_it_is(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with waiting(150_000, clock=clock) as on_progress:
        for seconds, settled in ((9.9, 1), (10.0, 1_200), (19.9, 2_000), (20.5, 2_500), (29.9, 2_800)):
            clock.now_s = 100.0 + seconds
            on_progress(settled)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "simulating: 1,200 of about 150,000 requests after 10 s",
        "simulating: 2,500 of about 150,000 requests after 20 s",
    ]


def test_without_knowing_how_many_there_will_be_it_tells_how_many_there_were(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with waiting(None, clock=clock) as on_progress:
        clock.now_s += 11
        on_progress(7)
    assert capsys.readouterr().err == "simulating: 7 requests after 11 s\n"


def test_who_reads_by_machine_is_told_nothing(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with waiting(100, quiet=True, clock=clock) as on_progress:
        clock.now_s += 60
        on_progress(50)
    assert capsys.readouterr().err == ""
