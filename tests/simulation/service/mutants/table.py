"""Every planted fault, by name."""

from tests.simulation.service.mutants import (
    calling,
    cancelling,
    clocks,
    committing,
    conflicting,
    containing,
    leading,
    publishing,
    retrying,
    taking,
    telling_apart,
    waiting,
)
from tests.simulation.service.mutants.planting import Mutant

_MODULES = (
    *(committing, telling_apart, cancelling, leading, taking, waiting),
    *(calling, publishing, retrying, clocks, containing, conflicting),
)
MUTANTS = {each.name: each for module in _MODULES for each in vars(module).values() if isinstance(each, Mutant)}
