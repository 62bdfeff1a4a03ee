import pytest

from headrace.broker.spending.advice.duplicates import DuplicateBook
from headrace.broker.spending.advice.finding import Waste
from headrace.broker.spending.advice.groups import OutcomeGroup
from headrace.broker.spending.advice.sampling import hash_of
from tests.unit.spending.advice.made import advised, answered, only


def test_answers_to_one_body_under_several_ids_are_counted_but_for_the_first() -> None:
    outcomes = [answered(n, request_digest=f"digest-{n % 40}") for n in range(100)]
    found = only(advised(outcomes), Waste.DUPLICATES)
    assert found.tokens_a_day == 60 * 1_200
    assert (found.evidence["requests"], found.evidence["further_answers"]) == (40, 60)


def test_a_replay_of_the_same_id_is_no_duplicate() -> None:
    outcomes = [answered(n % 40, run=n // 40, request_digest=f"digest-{n % 40}") for n in range(100)]
    assert advised(outcomes) == []


def test_outcomes_without_a_digest_are_no_duplicates_of_each_other() -> None:
    assert advised([answered(n) for n in range(100)]) == []


def test_a_book_of_a_bounded_share_of_the_digests_still_tells_the_whole() -> None:
    book, group = DuplicateBook(digests_max=500), OutcomeGroup("welcome", "gpt-4o")
    for n in range(20_000):
        book.add(answered(n, request_digest=f"digest-{n % 15_000}"), hash_of(f"lead-{n}"), group)
    (requests, sums) = book.by_group()["welcome", "gpt-4o"]
    assert book.share < 0.05
    assert requests == sums.metered
    assert requests / book.share == pytest.approx(5_000, rel=0.25)
