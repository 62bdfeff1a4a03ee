from pathlib import Path

import pytest

from tests.mutation.mutants import Name
from tests.mutation.scope import MODULES
from tests.mutation.sources import source
from tests.mutation.survivors import hold, read, stanza

ONE, OTHER, THIRD = Name("f", "a < b", "a <= b"), Name("f", "x = 1", "(removed)"), Name("g", "'a'", '"b\\"')


def listed(path: Path, *stanzas: str) -> Path:
    path = path / "survivors.toml"
    path.write_text("\n\n".join(stanzas))
    return path


def test_an_entry_is_read_as_it_was_printed(tmp_path: Path) -> None:
    path = listed(tmp_path, *(stanza(each, "Equivalent.") for each in (ONE, OTHER, THIRD)))
    assert read(path) == {ONE: 1, OTHER: 1, THIRD: 1}


def test_an_entry_needs_a_reason_and_stands_there_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reason"):
        read(listed(tmp_path, stanza(ONE)))
    with pytest.raises(ValueError, match="Twice"):
        read(listed(tmp_path, stanza(ONE, "a"), stanza(ONE, "b")))


def test_a_survivor_that_is_not_argued_away_is_told() -> None:
    held = hold({ONE: 1}, every=[ONE, OTHER], ran=[ONE, OTHER], survived=[ONE, OTHER])
    assert (held.unargued, held.killed, held.gone) == ((OTHER,), (), ())


def test_two_that_read_the_same_need_two_places() -> None:
    assert hold({ONE: 1}, every=[ONE], ran=[ONE, ONE], survived=[ONE, ONE]).unargued == (ONE,)
    assert hold({ONE: 2}, every=[ONE], ran=[ONE, ONE], survived=[ONE, ONE]).unargued == ()


def test_an_entry_is_obsolete_once_its_mutant_is_killed_or_gone_and_not_before() -> None:
    allowed = {ONE: 1, OTHER: 1, THIRD: 1}
    held = hold(allowed, every=[ONE, OTHER], ran=[ONE], survived=[])
    assert (held.killed, held.gone) == ((ONE,), (THIRD,))


def test_the_committed_list_can_be_read() -> None:
    assert read()


@pytest.mark.slow
def test_each_entry_of_the_committed_list_names_a_mutant_that_exists() -> None:
    every = {mutant.name for module in MODULES for mutant in source(module).mutants}
    assert [name for name in read() if name not in every] == []
