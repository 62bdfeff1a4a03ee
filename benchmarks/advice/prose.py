"""Prose by seed, with its tokens: each word of a vocabulary has a number of tokens of its own."""

import random
import string
from dataclasses import dataclass
from typing import Final

_LETTERS: Final = "etaoinshrdlucmfwypvbgk"
_FRAMING_TOKENS: Final = 4


@dataclass(frozen=True, slots=True)
class Text:
    """A text and how many tokens it has."""

    text: str
    tokens: int

    def __add__(self, other: "Text") -> "Text":
        return Text(self.text + other.text, self.tokens + other.tokens)


class Prose:
    """Writes texts of about a given number of tokens."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._words: list[tuple[str, int]] = []
        for _ in range(3_000):
            length = rng.choice((2, 3, 4, 4, 5, 5, 6, 7, 8, 10))
            word = "".join(rng.choices(_LETTERS, k=length))
            self._words.append((word, 1 if length <= 6 else rng.choice((1, 2, 2))))

    def paragraph(self, tokens: int) -> Text:
        """Write sentences of at least so many tokens, on one line that ends with a line break."""
        written, count = [], 0
        while count < tokens:
            words = self._rng.choices(self._words, k=self._rng.randint(6, 18))
            written.append(" ".join(word for word, _ in words).capitalize() + ".")
            count += sum(number for _, number in words) + 1
        return Text(" ".join(written) + "\n", count + 1)

    def paragraphs(self, tokens: int) -> Text:
        """Write paragraphs of at least so many tokens in all."""
        text = Text("", 0)
        while text.tokens < tokens:
            text += self.paragraph(min(self._rng.randint(60, 200), tokens - text.tokens))
        return text

    def name(self) -> Text:
        """Return a person's name."""
        words = [word.capitalize() for word, _ in self._rng.choices(self._words, k=2)]
        return Text(" ".join(words), 4)

    def ident(self) -> Text:
        """Return an id of letters and digits, which has many tokens for its length."""
        return Text("".join(self._rng.choices(string.hexdigits.lower(), k=16)), 10)


def message_tokens(*texts: Text) -> int:
    """Return the tokens of a chat prompt with these messages."""
    return sum(text.tokens + _FRAMING_TOKENS for text in texts) + 3
