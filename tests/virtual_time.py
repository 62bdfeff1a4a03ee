"""Virtual time for tests that meet nothing but what is in memory.

looptime looks 42 times whether something has come from outside before it moves its clock. Here nothing can, and those
looks took longer than the tests.
"""

import pytest

VIRTUAL_TIME = pytest.mark.looptime(start=1_000, noop_cycles=0)
