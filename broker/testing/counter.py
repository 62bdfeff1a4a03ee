"""Rough token counter that loads no tokenizer: four characters make one token."""


class RoughCounter:
    """A `headrace.broker.ports.TokenCounter`.

    `unknown` names models without a count; `counted` is the number of calls.
    """

    def __init__(self, unknown: frozenset[str] = frozenset()) -> None:
        self._unknown = unknown
        self.counted = 0

    def count(self, model: str, text: str) -> int | None:
        """See `headrace.broker.ports.TokenCounter.count`."""
        self.counted += 1
        return None if model in self._unknown else -(-len(text) // 4)
