"""Counts tokens roughly, without loading a tokenizer: four characters make one."""


class RoughCounter:
    """A `broker.ports.TokenCounter`. `unknown` names models it cannot tell; `counted` is how often it was asked."""

    def __init__(self, unknown: frozenset[str] = frozenset()) -> None:
        self._unknown = unknown
        self.counted = 0

    def count(self, model: str, text: str) -> int | None:
        """See `broker.ports.TokenCounter.count`."""
        self.counted += 1
        return None if model in self._unknown else -(-len(text) // 4)
