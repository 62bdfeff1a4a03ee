"""The calls: the same for all clients, by seed, as bodies for HTTP and as sizes for virtual time.

Prompts of unequal length (most a few hundred tokens, some four times as many), an answer's cap that producers set well
above what is written, and answers of a third of that: in these the charge laws and the rivals' counting differ.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.limits.rows import Row
from headrace.broker.simulator.pricing import ChatLaw, Endpoint, Size, charge_at
from headrace.broker.simulator.virtual import Ask

MODELS: Final = ("gpt-4o-mini", "gpt-4o")
_BYTES_MEDIAN: Final = 1_050
_BYTES_SPREAD: Final = 0.5  # deviation of the logarithm
_BYTES: Final = (240, 4_800)
_CAPS: Final = (200, 300, 400)  # max_tokens, as producers set it
_WRITTEN: Final = (60, 180)
_FILLED_PERCENT: Final = 99
_SENTENCE: Final = "Write a short and friendly e-mail to the contact below and mention what the note says. "


@dataclass(frozen=True, slots=True)
class Asked:
    """One call.

    Of a conversation, `before` is the id of the turn before it, and `carried_tokens` are those said by then.
    """

    id: str
    model: str
    text_bytes: int
    answer_max: int
    output_tokens: int
    endpoint: Endpoint = Endpoint.CHAT
    before: str = ""
    carried_tokens: int = 0

    @property
    def size(self) -> Size:
        """The size by which the simulator charges."""
        if self.endpoint is Endpoint.RESPONSES:
            return Size(self.shown_tokens + self.carried_tokens)
        return Size.chat(self.text_bytes, answer_max=self.answer_max)

    @property
    def shown_tokens(self) -> int:
        """The input that its body shows."""
        return Size.chat(self.text_bytes).input_tokens

    def charge(self, law: ChatLaw) -> int:
        """Return its charge at admission."""
        return charge_at(self.endpoint, self.size, law)

    def ask(self) -> Ask:
        """Return the call for virtual time; its id decides how long it takes, and is the planner's number of it."""
        number = self.id.rpartition("-")[2]
        return Ask(number, self.model, self.size, self.endpoint, output_tokens=self.output_tokens)

    def body(self) -> dict[str, Any]:
        """Return the call for HTTP: a prompt of exactly `text_bytes` bytes, no two alike."""
        text = f"{self.id}: " + _SENTENCE * (self.text_bytes // len(_SENTENCE) + 1)
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": text[: self.text_bytes]}],
            "max_tokens": self.answer_max,
        }


def calls_of(row: Row) -> Sequence[Asked]:
    """Return the calls of a row; where windows are to be filled, as many as just fill them."""
    made = calls(row.calls, models=row.models)
    if row.conversations:
        return turns(made, row.conversations)
    if row.windows is None:
        return made
    left = row.tokens_per_minute * row.windows * _FILLED_PERCENT // 100
    for number, call in enumerate(made):
        left -= call.charge(ChatLaw.CHAT_2025)
        if left < 0:
            return made[:number]
    return made


def calls(count: int, *, models: int = 1, seed: int = 7) -> Sequence[Asked]:
    """Draw this number of calls, to one model or to two in turn."""
    chance = random.Random(seed)
    return [drawn_call(chance, f"call-{seed}-{number + 1}", MODELS[number % models]) for number in range(count)]


def turns(made: Sequence[Asked], conversations: int) -> Sequence[Asked]:
    """Make the calls the turns of this number of conversations, which take turns."""
    told: list[Asked] = []
    for number, call in enumerate(made):
        before = told[number - conversations] if number >= conversations else None
        carried = 0 if before is None else before.carried_tokens + before.shown_tokens + before.output_tokens
        named = "" if before is None else before.id
        told.append(replace(call, endpoint=Endpoint.RESPONSES, before=named, carried_tokens=carried))
    return told


def drawn_call(chance: random.Random, call_id: str, model: str = MODELS[0]) -> Asked:
    """Draw one call."""
    return Asked(
        id=call_id,
        model=model,
        text_bytes=round(min(_BYTES[1], max(_BYTES[0], chance.lognormvariate(0, _BYTES_SPREAD) * _BYTES_MEDIAN))),
        answer_max=chance.choice(_CAPS),
        output_tokens=chance.randint(*_WRITTEN),
    )
