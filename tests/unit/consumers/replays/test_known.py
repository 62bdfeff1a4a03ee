"""Which runs there are already, of ids that are to be put back."""

from headrace.consumers.replays.known import KnownRuns


def test_a_run_that_was_answered_rules_out_itself_and_those_before_it() -> None:
    known = KnownRuns()
    known.choose("a")
    assert not known.rules_out("a", 0)
    known.note("a", 1)
    assert [known.rules_out("a", run) for run in (0, 1, 2)] == [True, True, False]
    known.note("a", 0)
    known.choose("a")
    assert known.rules_out("a", 1)


def test_what_is_completed_rules_out_every_run() -> None:
    known = KnownRuns()
    known.choose("a")
    known.note("a", 0, is_completed=True)
    known.note("a", 3)
    assert known.rules_out("a", 65_535)


def test_of_ids_that_are_not_chosen_nothing_is_kept() -> None:
    known = KnownRuns()
    known.note("a", 0, is_completed=True)
    assert len(known) == 0
    assert not known.rules_out("a", 1)


def test_a_run_that_was_not_put_back_after_all_is_ruled_out_no_more() -> None:
    known = KnownRuns()
    known.choose("a")
    known.note("a", 2)
    known.forget("a", 3)
    assert known.rules_out("a", 2)
    known.forget("a", 2)
    assert not known.rules_out("a", 2)
    assert known.rules_out("a", 1)
