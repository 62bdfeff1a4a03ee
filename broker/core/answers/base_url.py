"""Detection of a server at the base URL that is not OpenAI's API but another one, configured by mistake.

Another HTTP server answers 404 to every request. If each 404 were taken for its request's fault, all lanes would be
emptied into the dead letters within seconds. So each answer is examined for which server wrote it (`form_of`). The
effect on the request depends on what is known of the base URL and of the models (`Addressee`):

- Before any call to this base URL has been answered, an answer that the API did not write fails no request: neither
  does a JSON-RPC server's error, though it has a code, nor a gateway's page that says that the request is too large.
- Later, a 404 or 405 fails its request only if another model was answered between two 404s of this one: by a call that
  was sent after the first 404, and whose answer came before the last one's call was sent. Until then the request is
  called again. If no other model has been answered within the last minute, the account's breaker opens
  (`Ruling.ELSEWHERE`).
- The API's own refusal of an unknown model fails its request, unless that model has been answered before, or none has
  been answered and a second one is unknown too: another server of the API has none of the requested models.
"""

import re
from enum import Enum
from typing import Final

from headrace.broker.core.answers.classification import BY_CODE, BY_TYPE, is_page, meaning_of
from headrace.broker.core.answers.meaning import FAULTS, Basis, Fault
from headrace.broker.core.answers.verdict import Answer

LATELY_MS: Final = 60_000
"""An answer for a model older than this does not show that the server still has any model."""
MODELS_MAX: Final = 200
"""The number of models remembered; the one with the oldest answer is dropped first."""
_SENTENCE_CHARS_MAX: Final = 500


class AnswerForm(Enum):
    """Evidence in an answer of the server that wrote it."""

    ANSWER = "answer"  # the requested result
    PLAIN = "plain"  # the API's own refusal, or an answer that does not show which server wrote it
    GONE = "gone"  # the API's own refusal of a model that it does not have
    MISSING = "missing"  # 404 or 405, and not in the API's words
    ODD = "odd"  # another answer that no API gives: a page, other JSON, a redirect


class Ruling(Enum):
    """The effect of an answer on its request."""

    AS_JUDGED = "as judged"
    AGAIN = "again"  # the request is called again until later answers decide; that counts as no attempt
    ELSEWHERE = "elsewhere"  # another server answers: the account's breaker opens until an operator corrects the URL


_GONE_CODES: Final = frozenset({"model_not_found", "deploymentnotfound", "model_not_available", "unknown_model"})
_GONE_WORDS: Final = re.compile(
    r"\b(?:models?|deployments?|engines?)\b|\bno (?:allowed )?(?:endpoints|providers)\b", re.IGNORECASE
)
_WRONG_PATH: Final = re.compile(
    r"^\W*(?:404\W+)?not[ _]?found\W*$|\binvalid url\b|\bunknown (?:request )?(?:url|path|endpoint)\b"
    r"|\bresource not found\b|\bpage not found\b|\bno route\b|\bcannot (?:get|post)\b|\burl\b.{0,100}\bnot found\b",
    re.IGNORECASE,
)
_API_TYPES: Final = frozenset({"invalid_request_error", "not_found_error", "notfounderror", "api_error"})
_OF_A_CALL: Final = frozenset({401, 402, 403, 407, 408, 409, 425, 429, 499})
"""Refusals of a key, an account, a limit or the time, which gateways send without those fields."""
_RPC_CODE: Final = re.compile(r"-\d+")
"""JSON-RPC codes are negative numbers; no API has such codes."""
_REFUSES: Final = frozenset({401, 403, 407})


def form_of(answer: Answer) -> AnswerForm:
    """Return what a refusal, or a call without an answer, shows of the server. Never raises."""
    status = answer.status
    if status is None:
        return AnswerForm.PLAIN
    if 300 <= status < 400:
        return AnswerForm.ODD  # no redirect is followed: http:// where https:// is meant, or a sign-in
    if status == 405:
        return AnswerForm.MISSING
    if status == 404:
        return _of_404(answer)
    if status in _REFUSES and is_page(answer.message):
        return AnswerForm.ODD  # a page of a proxy or a sign-in: no refusal of a key
    is_refusal = 400 <= status < 500 and status not in _OF_A_CALL
    is_error = is_refusal or status == 501 or 200 <= status < 300
    return AnswerForm.ODD if is_error and not (_has_fields(answer) or _blames_the_account(answer)) else AnswerForm.PLAIN


def _of_404(answer: Answer) -> AnswerForm:
    code, kind, message = (answer.error_code or "").lower(), (answer.error_type or "").lower(), answer.message
    message = message[:_SENTENCE_CHARS_MAX]
    if code in _GONE_CODES:
        return AnswerForm.GONE
    if code in BY_CODE or kind in BY_TYPE:
        return AnswerForm.PLAIN
    if not _is_spoken(answer) or _WRONG_PATH.search(message):
        return AnswerForm.MISSING
    if _GONE_WORDS.search(message):
        return AnswerForm.GONE
    return AnswerForm.PLAIN if kind in _API_TYPES or answer.error_param else AnswerForm.MISSING


def _has_fields(answer: Answer) -> bool:
    """Return whether an error has any of the API's fields besides a text; a JSON-RPC code does not count."""
    code = answer.error_code
    return bool(answer.error_type or answer.error_param or (code and not _RPC_CODE.fullmatch(code)))


def _blames_the_account(answer: Answer) -> bool:
    """Return whether a bare text is one in which an API refuses a key or an empty account: xAI does so with a 400."""
    meaning, basis = meaning_of(answer.status, None, None, answer.message)
    return basis is Basis.TEXT and FAULTS[meaning] is Fault.ACCOUNT


def _is_spoken(answer: Answer) -> bool:
    """Return whether it holds an error in an API's form: its fields, or at least a text that came as JSON."""
    if _has_fields(answer):
        return True
    message = answer.message.lstrip()
    if not message or is_page(message) or message.startswith(("{", "[")):
        return False  # no text, or a whole body in which no error was found
    stated = [value for name, value in answer.headers.items() if name.lower() == "content-type"]
    return not stated or "json" in stated[0].lower()


class _Missing:
    """A model whose calls are answered with 404; instants in ms of the core's clock, -1: not yet.

    Attributes:
        since_ms: The time of its first 404.
        alone_from_ms: The time of the first answer for another model to a call that was sent after `since_ms`.
    """

    def __init__(self, since_ms: int) -> None:
        self.since_ms = since_ms
        self.alone_from_ms = -1


class Addressee:
    """Knowledge of the server at one base URL.

    Attributes:
        proved: A call to this base URL has been answered, in this term or in one recorded in the ledger.
    """

    def __init__(self, *, proved: bool = False) -> None:
        self.proved = proved
        self._answered_ms: dict[str, int] = {}  # the time of the last answer, by model
        self._missing: dict[str, _Missing] = {}
        self._gone: str | None = None  # the first unknown model before any answer
        self._all_gone = False

    def observe(self, model: str, form: AnswerForm, sent_ms: int, now_ms: int) -> Ruling:
        """Process an answer to a call for `model`; return its effect on the request.

        Args:
            model: The requested model.
            form: The answer's evidence of the server.
            sent_ms: When the call was sent.
            now_ms: Now.
        """
        if form is AnswerForm.ANSWER:
            self._answered(model, sent_ms, now_ms)
            return Ruling.AS_JUDGED
        if form is AnswerForm.PLAIN or (form is AnswerForm.GONE and self._is_alone_unknown(model)):
            return Ruling.AS_JUDGED
        if not self.proved:
            return Ruling.ELSEWHERE
        return Ruling.AS_JUDGED if form is AnswerForm.ODD else self._missed(model, sent_ms, now_ms)

    def _is_alone_unknown(self, model: str) -> bool:
        """Return whether the API's own refusal of this unknown model fails the request."""
        if self.proved:
            return model not in self._answered_ms
        self._gone = model if self._gone is None else self._gone
        self._all_gone = self._all_gone or model != self._gone
        return not self._all_gone

    def _answered(self, model: str, sent_ms: int, now_ms: int) -> None:
        self.proved = True
        self._answered_ms.pop(model, None)
        self._answered_ms[model] = now_ms
        if len(self._answered_ms) > MODELS_MAX:
            del self._answered_ms[next(iter(self._answered_ms))]
        self._missing.pop(model, None)
        for missing in self._missing.values():
            if missing.alone_from_ms < 0 and sent_ms >= missing.since_ms:
                missing.alone_from_ms = now_ms

    def _missed(self, model: str, sent_ms: int, now_ms: int) -> Ruling:
        """Return the effect of a 404: only this model is missing if another was answered between two of its 404s.

        Calls count as of their sending.
        """
        missing = self._missing.get(model)
        if missing is None:
            missing = self._missing[model] = _Missing(now_ms)
            if len(self._missing) > MODELS_MAX:
                del self._missing[next(iter(self._missing))]
        for name, at_ms in self._answered_ms.items():
            if name not in self._missing and now_ms - at_ms <= LATELY_MS:
                return Ruling.AS_JUDGED if 0 <= missing.alone_from_ms <= sent_ms else Ruling.AGAIN
        return Ruling.ELSEWHERE
