"""Errors that an outcome itself raises, and the root of the one error tree, which `headrace.broker.errors` draws.

They stand here because schemas import nothing of ours. Import them from `headrace`, or from `headrace.broker.errors`.
"""

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from headrace.schemas.outcome import Completed, Failed

Unusable = Literal["refusal", "length", "content_filter", "tool_calls", "empty", "mismatch", "no_text", "endpoint"]
"""Why an answer cannot be used as it was asked for."""


class HeadraceError(Exception):
    """Any error of ours that a caller can act upon. It comes back from pickle as it was, whatever made its sentence."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy the finished sentence and the attributes, as pools of processes do (Celery, multiprocessing).

        Python's own way calls the class with the sentence. Where that raises, `multiprocessing.Pool` waits forever.
        """
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[HeadraceError], args: tuple[object, ...]) -> HeadraceError:
    return kind.__new__(kind, *args)


class GenerationFailed(HeadraceError):  # noqa: N818  # named by what holds, as the tree
    """The request has its outcome, and it is Failed."""

    def __init__(self, outcome: "Failed") -> None:
        super().__init__(f"{outcome.id} failed ({outcome.reason}): {outcome.message}")
        self.outcome = outcome


class OutcomeUnreadable(GenerationFailed):
    """The request has an outcome whose value this release cannot read; the record is still in the results."""

    def __init__(self, outcome: "Failed") -> None:
        super().__init__(outcome)
        self.args = (f"{outcome.id}: {outcome.message}",)


class AnswerUnusable(HeadraceError):  # noqa: N818  # same
    """The request is completed, but its answer is not of the form that was asked of it; it quotes nothing of it.

    Asking again with the same id gives the same answer: correct what `reason` names, and use a new id.

    Attributes:
        outcome: The completed outcome, whose `response` is OpenAI's whole answer.
        reason: `refusal`, `length`, `content_filter` or `tool_calls`, as in `finish`; `empty`: it has no text at all;
            `mismatch`: its text does not fit the type; `no_text`: its endpoint gives no text; `endpoint`: the SDK's
            type of its endpoint is not known.
    """

    def __init__(self, outcome: "Completed", reason: Unusable, sentence: str) -> None:
        super().__init__(f"{outcome.id}: {sentence}")
        self.outcome = outcome
        self.reason: Unusable = reason


class SdkMissing(HeadraceError):  # noqa: N818  # same
    """OpenAI's Python package is not installed here, or is too old for the type that was asked for."""

    exit_code = 2
