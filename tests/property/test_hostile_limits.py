"""Budgets fed with whatever headers and refusals may say, by seed: nothing raises, and nothing lasts.

The limit's other corrections assume a server that tells the truth; here it tells anything.
"""

import json
import random

import pytest

from headrace.broker.core.answers.error_body import answer_of
from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS
from headrace.broker.core.answers.verdict import WAIT_MS_MAX, Answer, judge
from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.core.pricing.law_identification import TokenUsage
from tests.hostile.upstream_pieces import limit_headers, refusal

SEEDS = 400
CHARGE = 20


def hostile(dice: random.Random, *, naming: bool) -> Answer:
    headers = dict(limit_headers(dice))
    match dice.randrange(10) if naming else dice.randrange(3, 10):
        case 0 | 1 | 2:
            return answer_of(429, headers, json.dumps({"error": refusal(dice)}))
        case 3:
            return answer_of(503, headers, "")
        case 4:
            return answer_of(400, headers, json.dumps({"error": {"message": "Bad.", "type": "invalid_request_error"}}))
        case _:
            return Answer(200, headers, None, None, None, "", early=dice.random() < 0.2)


def honest() -> Answer:
    said = {"limit": "200000", "remaining": "199000", "reset": "300ms"}
    return Answer(200, {f"x-ratelimit-{word}-tokens": each for word, each in said.items()}, None, None, None, "")


class Play:
    """One limit, at random."""

    def __init__(self, seed: int, *, naming: bool = True) -> None:
        """`naming`: refusals name limits too, of which no header may ever speak again."""
        self.naming = naming
        self.dice = random.Random(seed)
        settings = LimitBeliefs("m", self.dice.choice([None, 200_000]), self.dice.choice([None, 500]))
        self.budget = Budget(settings, 0, None)
        self.now_ms = self.attempts = 0
        self.inflight: list[int] = []

    def send(self) -> bool:
        at_ms = self.budget.payable_at(CHARGE, self.now_ms)
        if at_ms is None or at_ms > self.now_ms:
            return False
        self.attempts += 1
        self.budget.reserve(self.attempts, CHARGE, self.now_ms)
        self.inflight.append(self.attempts)
        return True

    def hear(self, answer: Answer) -> None:
        usage = TokenUsage(self.dice.choice([1, 10, 10**7]), self.dice.choice([0, 5, 10**7]))
        attempt = self.inflight.pop(self.dice.randrange(len(self.inflight)))
        self.budget.record_answer(attempt, self.now_ms, judge(answer), self.dice.choice([None, usage]))

    def look(self) -> None:
        """Ask everything that a dispatcher asks."""
        budget, now_ms = self.budget, self.now_ms
        budget.levels(now_ms)
        budget.checkpoint(now_ms)
        budget.pace_ms(CHARGE)
        budget.flow_ms(CHARGE)
        budget.fits(CHARGE)

    def suffer(self) -> None:
        for _ in range(self.dice.choice([3, 10, 60])):
            self.now_ms += self.dice.choice([0, 1, 50, 1_000, 60_000, HOUR_MS])
            self.send()
            if self.inflight and self.dice.random() < 0.7:
                self.hear(hostile(self.dice, naming=self.naming))
            self.look()
        for attempt in self.inflight:
            self.budget.abandon(attempt, self.now_ms)
        self.inflight.clear()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_whatever_is_said_of_a_limit_a_call_goes_within_a_day(part: int) -> None:
    for seed in range(part, SEEDS, 4):
        play = Play(seed)
        play.suffer()
        at_ms = play.budget.payable_at(CHARGE, play.now_ms)
        assert at_ms is not None, seed
        assert at_ms - play.now_ms <= DAY_MS, seed
        assert play.budget.checkpoint(play.now_ms).pause_ms <= WAIT_MS_MAX, seed


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_a_server_that_tells_the_truth_again_is_believed_again(part: int) -> None:
    for seed in range(part, SEEDS, 4):
        play = Play(seed, naming=False)
        play.suffer()
        for _ in range(6):
            play.now_ms = max(play.now_ms, play.budget.payable_at(CHARGE, play.now_ms) or 0)
            assert play.send(), seed
            play.hear(honest())
            play.now_ms += 60_000
        assert play.budget.fits(CHARGE), seed
