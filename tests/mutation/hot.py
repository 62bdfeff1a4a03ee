"""A pytest run that has collected its tests, and forks instead of running them."""

import contextlib
import gc
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import NoReturn

import coverage
import pytest

from tests.mutation.patch import Functions, functions
from tests.mutation.reach import Cache, Reach, Reaches, load, of_contexts, save

_TEST_CPU_S = 1.5
_TEST_CPU_FACTOR = 10
_MEMORY_BYTES = 3 << 30
_WALL_S = 60
_EXAMPLES = 25


class End(Enum):
    """How a child ended."""

    SURVIVED = 0
    FAILED = 1
    SAME = 2
    UNFIT = 3
    TIMED_OUT = 4
    DIED = 5


class Hot:
    """The plugin: calls `serve` in the place of the loop over the tests."""

    def __init__(self, serve: Callable[["Hot"], None]) -> None:
        self._serve = serve
        self._failing: Callable[[str], None] = lambda _: None
        self.items: dict[str, pytest.Item] = {}
        self.functions: Functions = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Examples are the same in each child, and one that fails is not made smaller nor remembered."""
        from hypothesis import Phase, settings  # noqa: PLC0415 — pytest wants to import its plugins itself
        from hypothesis.configuration import set_hypothesis_home_dir  # noqa: PLC0415 — same

        set_hypothesis_home_dir(tempfile.gettempdir())
        phases = [Phase.explicit, Phase.generate]
        quick = settings(settings.default, derandomize=True, database=None, phases=phases, max_examples=_EXAMPLES)
        settings.register_profile("mutation", quick)
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        gc.unfreeze()  # tests/conftest.py has frozen what was collected, which would hide it
        gc.collect()
        self.functions = functions()
        gc.freeze()  # which hides them
        self._serve(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failing(report.nodeid)

    def run(self, tests: Sequence[str], seconds: dict[str, float]) -> NoReturn:
        """In a child: run these until one fails, and end."""
        self._failing = lambda _: os._exit(End.FAILED.value)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        for item, following in self._pairs(tests):
            spent_max = max(_TEST_CPU_S, _TEST_CPU_FACTOR * seconds.get(item.nodeid, 0.0))
            signal.setitimer(signal.ITIMER_VIRTUAL, spent_max)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        os._exit(End.SURVIVED.value)

    def record(self, files: Iterable[str], sources: Sequence[str], cache: Cache) -> Reaches:
        """Which lines of the sources each test of these files reaches; what is not known yet is run, in children."""
        there: dict[str, list[str]] = {}
        for each in self.items:
            there.setdefault(each.partition("::")[0], []).append(each)
        reaches = Reaches()
        for file in files:
            path = cache.path(file)
            if not path.exists():
                child = os.fork()
                if not child:
                    save(path, self._measured(there[file], sources))
                    os._exit(0)
                if os.waitpid(child, 0)[1]:
                    raise SystemExit(f"{file} could not be recorded.")
            reaches.add(load(path))
        return reaches

    def _measured(self, tests: Sequence[str], sources: Sequence[str]) -> Reach:
        reach, failed = Reach(), set[str]()
        self._failing = failed.add
        measuring = coverage.Coverage(include=[*sources], data_file=None)
        measuring.set_option("run:disable_warnings", ["no-data-collected"])  # a file of tests may reach none of them
        with _silent():
            measuring.start()
            for item, following in self._pairs(tests):
                measuring.switch_context(item.nodeid)
                begun = time.process_time()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                reach.seconds[item.nodeid] = round(time.process_time() - begun, 4)
            measuring.stop()
        data = measuring.get_data()
        reach.lines = of_contexts({file: data.contexts_by_lineno(file) for file in data.measured_files()})
        reach.failed = frozenset(failed)
        return reach

    def _pairs(self, tests: Sequence[str]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
        items = [self.items[each] for each in tests if each in self.items]
        yield from zip(items, [*items[1:], None], strict=True)


def fork(work: Callable[[], NoReturn]) -> int:
    """A silent child; returns its pid."""
    child = os.fork()
    if not child:
        try:
            signal.alarm(_WALL_S)
            with _silent():
                work()
        except BaseException:  # noqa: BLE001 — whatever it is, it must not become a second parent
            os._exit(End.FAILED.value)
    return child


def wait(child: int) -> End:
    """How a child ended; an end by one of our own limits is a time-out."""
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        with contextlib.suppress(ValueError):
            return End(os.WEXITSTATUS(status))
        return End.DIED
    return End.TIMED_OUT if os.WTERMSIG(status) in {signal.SIGVTALRM, signal.SIGALRM} else End.DIED


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
        yield


def collect(paths: Sequence[str], serve: Callable[[Hot], None]) -> int:
    """Collect the tests of these paths, then `serve`; returns pytest's exit code."""
    arguments = [
        "-q",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:randomly",
        "--no-header",
        "--no-summary",
    ]
    return int(pytest.main([*arguments, "--capture=no", "--timeout=15", *paths], plugins=[Hot(serve)]))
