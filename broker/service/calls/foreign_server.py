"""Answers written by a server other than OpenAI's API: how they are ruled on, and what an operator is shown of them.

An operator is shown where the answer came from, its type, and how it begins. A server that repeats the request would
put a prompt into the log, so of JSON only the names of keys are shown, and no text that occurs in the request. The API
key is redacted at the door (`headrace.broker.adapters.openai.redacted_calls`).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from headrace.broker.core.answers.base_url import Addressee, AnswerForm, Ruling
from headrace.broker.core.answers.classification import is_page
from headrace.broker.core.answers.rate_limit_headers import lowered
from headrace.broker.core.answers.verdict import Verdict, is_word, unknown_server, wrong_server
from headrace.broker.ports import UpstreamReply
from headrace.broker.service.metrics.escapes import safe
from headrace.broker.settings.urls import HttpUrl, UrlError
from headrace.schemas.request import GenerationRequest

WORDS_CHARS_MAX: Final = 80
_TYPE_CHARS_MAX: Final = 60
_KEYS_MAX: Final = 5
_LOOKED_AT_CHARS: Final = 4_000
_SHARED_CHARS: Final = 12
"""This many consecutive characters that occur in the request too are taken for a part of it."""
_ESCAPES: Final = re.compile(r"&#?\w{1,8};|%[0-9a-fA-F]{2}|\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[a-z\"\\/])")
"""An escaped character of HTML, a URL or JSON."""
_UNSEEN: Final = re.compile(r"<(script|style|title)\b.*?(</\1>|$)|<[^>]*>?|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)(?:</title>|$)", re.IGNORECASE | re.DOTALL)


_STRANGE: Final = frozenset({AnswerForm.MISSING, AnswerForm.ODD})


class Strangers:
    """Rules on answers that OpenAI's API may not have written."""

    def __init__(self, addressee: Addressee, *, url: str, answered: Callable[[], None] = lambda: None) -> None:
        """`addressee` is what is known of the server at `url`, the masked base URL.

        `answered` is called for each answer of the API.
        """
        self._addressee = addressee
        self._url = url
        self._answered = answered

    def judge(
        self, form: AnswerForm, reply: UpstreamReply, request: GenerationRequest, sent_ms: int, now_ms: int
    ) -> tuple[Verdict | None, dict[str, str] | None]:
        """Return the verdict, if it differs from the answer's own, and the facts to report of a strange answer.

        Args:
            form: Evidence of the server that wrote the answer.
            reply: The answer.
            request: What was asked.
            sent_ms: When it was asked.
            now_ms: Now.
        """
        ruling = self._addressee.observe(request.model or "", form, sent_ms, now_ms)
        if form is AnswerForm.ANSWER:
            self._answered()
        told = None
        if form in _STRANGE or ruling is not Ruling.AS_JUDGED:
            told = response_facts(
                self._url, reply.answer.headers, reply.answer.message or reply.body or "", request.body
            )
        match ruling:
            case Ruling.ELSEWHERE:
                return wrong_server(reply.answer), told
            case Ruling.AGAIN:
                return unknown_server(reply.answer), told
            case _:
                return None, told


def shown(base_url: str) -> str:
    """Return a base URL as it may be shown; an unreadable one is refused at the start, and not repeated here."""
    try:
        return HttpUrl.read(base_url).masked()
    except UrlError:
        return "openai.base_url"


def response_facts(url: str, headers: Mapping[str, str], text: str, asked: Mapping[str, object]) -> dict[str, str]:
    """Return `url`, `content_type`, `leads_to` of a redirect and `says`, each only if it has a value.

    Args:
        url: The base URL, masked.
        headers: Of the answer.
        text: Its body, or the error in it.
        asked: The body of the request, of which nothing may be shown.
    """
    told = lowered(headers)
    found = {
        "url": url,
        "content_type": safe(told.get("content-type", ""))[:_TYPE_CHARS_MAX],
        "leads_to": _masked(told.get("location", "")),
        "says": _words(text, asked),
    }
    return {name: value for name, value in found.items() if value}


def _masked(location: str) -> str:
    """Return where a redirect leads, without its path, which may hold a token."""
    try:
        url = HttpUrl.read(location)
    except UrlError:
        return ""
    return safe(f"{url.scheme}://{url.address}")[:WORDS_CHARS_MAX]


def _words(text: str, asked: Mapping[str, object]) -> str:
    text = text[:_LOOKED_AT_CHARS].strip()
    if text.startswith(("{", "[")):
        return _keys(text)
    if is_page(text):
        title = _TITLE.search(text)
        text = (title[1] if title else "").strip() or _UNSEEN.sub(" ", text)
    words = safe(" ".join(text.split()))[:WORDS_CHARS_MAX]
    return "" if _is_of(words, asked) else words


def _keys(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    names = [name for name in value if is_word(name)][:_KEYS_MAX] if isinstance(value, dict) else []
    return f"JSON with {', '.join(names)}" if names else "JSON"


def _is_of(words: str, asked: Mapping[str, object]) -> bool:
    """Whether a part of the words occurs in the request; words shorter than a part are matched as a whole."""
    try:
        whole = _letters(json.dumps(asked, ensure_ascii=False))
    except (ValueError, TypeError, RecursionError):
        return True
    words = _letters(words)
    parts = range(max(1, len(words) - _SHARED_CHARS + 1))
    return bool(words) and any(words[at : at + _SHARED_CHARS] in whole for at in parts)


def _letters(text: str) -> str:
    """Keep letters and digits only: what stands between them depends on how a server writes down the request."""
    return "".join(letter for letter in _ESCAPES.sub("", text).casefold() if letter.isalnum())
