"""The digest of a proved base URL: of where it leads, and of nothing secret in its login."""

import pytest

from headrace.broker.service.calls.base_url_proof import MARK_CHARS, mark_of


@pytest.mark.parametrize(
    "same", ["https://gw/v1", "https://gw/v1/", "https://me:password@gw/v1", "https://other@gw/v1/"]
)
def test_it_is_the_same_for_one_place(same: str) -> None:
    assert mark_of(same) == mark_of("https://gw/v1")


@pytest.mark.parametrize(
    "other", ["http://gw/v1", "https://gw:1/v1", "https://gw/v2", "https://gw/v1?v=2", "nonsense", "\ud800"]
)
def test_it_is_another_for_each_other_place(other: str) -> None:
    assert mark_of(other) != mark_of("https://gw/v1")
    assert len(mark_of(other)) == MARK_CHARS
