"""What a `read_committed` reader of the results finds at the end is what was committed, record by record."""

from collections.abc import Iterator

from tests.simulation.service.history import RESULTS, History


def check(history: History) -> Iterator[str]:
    """A difference."""
    seen = sorted(fetched.record.value or b"" for fetched in history.kafka.committed(RESULTS))
    committed = sorted(record.value or b"" for commit in history.commits for record in commit.records.get(RESULTS, ()))
    if seen != committed:
        yield f"readers see {len(seen)} outcomes, {len(committed)} were committed"
