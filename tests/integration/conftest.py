"""One real Kafka and one real Valkey for all integration tests of a run."""

import fcntl
import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from headrace.broker.cli import patience
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.services import LocalServices
from tests.integration.prefork import PREFORK
from tests.integration.privacy import PRIVACY
from tests.linked_kafka import ensure_linked

_TIMEOUT_S = 180  # real servers, two busy cores; the first start of all fetches 45 MB
_LONGEST_FIRST = (
    "test_kills",
    "test_led_for_long",
    "test_recovery",
    "test_local",
    "test_retries",
    "test_retriers_killed",
    "test_demo",
    "test_secured_kafka",
    "test_frozen_kafka",
    "test_replays",
    "test_pages",
    "test_bad_input",
    "test_changed_settings",
    "test_streams",
    "test_deadly_records",
    "test_whereabouts",
    "test_three_nodes",
    "test_unreadable_batch",
    "test_duplicates",
    "test_shut_model",
    "test_client_outage",
    "test_changing_topics",
    "test_topics_changed_in_service",
    "test_cancels",
    "test_gateway_sdk",
    "test_refused_outcomes",
)
"""Files that take more than a quarter of a minute. A long one at the end leaves the other workers idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    rank = {here / f"{name}.py": place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.services)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(scope="session", autouse=True)
def _linked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Kafka starts some forty times in a run: its classes are linked once, by one worker while the others wait."""
    with (tmp_path_factory.getbasetemp().parent / "linking").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(LocalServicesError):  # then it starts as ever, or says itself why not
            ensure_linked()


@pytest.fixture(scope="session", autouse=True)
def _nothing_confidential_is_written() -> Iterator[None]:
    """Each worker's fleets are searched as they end; what was found fails the run at the worker's end."""
    PRIVACY.is_on = True
    yield
    if PRIVACY.leaks:
        told = "\n".join(PRIVACY.leaks[:50])
        pytest.fail(f"{len(PRIVACY.leaks)} lines that processes wrote are confidential:\n{told}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _forked() -> Iterator[None]:
    PREFORK.is_on = True
    yield
    PREFORK.is_on = False
    PREFORK.close()


@pytest.fixture(scope="module", autouse=True)
def _freeze_objects_of_earlier_modules() -> None:
    """Exclude the objects that earlier modules have left from every later garbage collection.

    With those of a few modules, a full collection takes 60 to 80 ms, which tests that measure delays of a caller would
    count.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _verbs_wait_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb says after a second what it waits for. On a busy machine any of them may wait so long for a real Kafka."""
    monkeypatch.setattr(patience, "SILENT_S", 20.0)


@pytest.fixture(scope="session")
def services() -> Iterator[LocalServices]:
    """The run's pair. A test that kills a server starts it again before it ends, or brings a pair of its own."""
    pair = LocalServices()
    try:
        pair.start()
    except LocalServicesError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    yield pair
    pair.stop()
