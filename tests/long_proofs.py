"""Proofs too long for every run: more seeds, more requests, of what each run proves with fewer.

Their cases have the marker `long`, which the targets of `make` leave out, but for `make test-long`.
"""

from collections.abc import Iterable
from typing import Any

import pytest


def with_long(cases: Iterable[Any], each_time: int) -> list[Any]:
    """Cases of a parametrised test, of which the first `each_time` belong to every run and the others are long."""
    return [
        case if place < each_time else pytest.param(case, marks=pytest.mark.long) for place, case in enumerate(cases)
    ]
