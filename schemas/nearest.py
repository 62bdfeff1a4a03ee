"""The known name most likely meant by a wrong one: one guess for commands, settings and requests."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

ALIKE: Final = 0.6
"""Least similarity of a guess. `urgnt` and `urgent` have 0.91, `high` and `bulk` none."""
_COMPARED_CHARS_MAX: Final = 100
_SHOWN_CHARS_MAX: Final = 64
_NAMED_MAX: Final = 20


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to the wrong one, ignoring case; None if none is similar."""
    names = {name.lower(): name for name in known}
    near = get_close_matches(wrong[:_COMPARED_CHARS_MAX].lower(), list(names), n=1, cutoff=ALIKE)
    return names[near[0]] if near else None


def there_is_no(noun: str, wrong: str, known: Iterable[str]) -> str:
    """Return a whole sentence: `There is no lane urgnt, only urgent, standard and bulk: did you mean urgent?`."""
    names = list(dict.fromkeys(known))
    only = f", only {listed(names)}" if names else ""
    near = nearest(wrong, names)
    return f"There is no {noun} {shown(wrong)}{only}" + (f": did you mean {near}?" if near else ".")


def meant_or_known(wrong: str, known: Iterable[str]) -> str:
    """Return the end of a sentence on a wrong name: `; did you mean 'urgent'?`, or `; there are urgent, standard`."""
    names = list(known)
    near = nearest(wrong, names)
    return f"; did you mean {near!r}?" if near else f"; there are {', '.join(names)}"


def listed(names: Iterable[str], *, last: str = "and") -> str:
    """Return `a, b and c`; of more than twenty the first, and the number of the rest."""
    told = list(names)
    if len(told) > _NAMED_MAX:
        told = [*told[:_NAMED_MAX], f"{len(told) - _NAMED_MAX} more"]
    return f" {last} ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def ended(text: str) -> str:
    """Return the text as a sentence: with a full stop, unless it ends in a mark of its own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def shown(wrong: str) -> str:
    """Shorten a given text for a sentence; an empty text becomes a pair of quotes."""
    if not wrong.strip():
        return repr(wrong)
    return wrong if len(wrong) <= _SHOWN_CHARS_MAX else f"{wrong[:_SHOWN_CHARS_MAX]}…"
