"""Proofs too long for every run: more seeds, more requests, of what each run proves with fewer.

Their cases have the marker `long`, which the targets of `make` leave out, but for `make test-long`.
"""

from collections.abc import Iterable
from typing import Any

import pytest


def with_long(cases: Iterable[Any], each_time: int) -> list[Any]:
    """Cases of a parametrised test, of which the first `each_time` belong to every run and the others are long."""
    return [case if place < each_time else _long(case) for place, case in enumerate(cases)]


def _long(case: Any) -> Any:
    """A tuple stands for several arguments."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)
