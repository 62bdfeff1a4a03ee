"""Whose an outcome is, as far as both sides say: what contradicts, and what merely does not tell."""

import hashlib

import pytest

from headrace.schemas.chunk import Chunk
from headrace.schemas.expectation import Expectation
from headrace.schemas.ids import request_digest
from headrace.schemas.outcome import Completed, Failed
from headrace.schemas.request import GenerationRequest

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße"}]}
DIGEST = request_digest("chat.completions", BODY)
OTHER = request_digest("chat.completions", BODY | {"n": 2})
MINE = Expectation("lead-1", "acme", "chat.completions", DIGEST)
NOBODYS = Expectation("lead-1", None, "chat.completions", DIGEST)


def said(
    tenant: str | None = "acme", endpoint: str | None = "chat.completions", digest: str | None = DIGEST
) -> Completed:
    return Completed(id="lead-1", tenant=tenant, endpoint=endpoint, request_digest=digest, response={})


def test_the_digest_is_of_endpoint_and_body_and_of_nothing_else() -> None:
    assert request_digest("chat.completions", dict(reversed(BODY.items()))) == DIGEST
    assert len({DIGEST, OTHER, request_digest("responses", BODY)}) == 3
    canonical = (
        rb'["chat.completions",{"messages":[{"content":"Gr\u00fc\u00dfe","role":"user"}],"model":"gpt-4o-mini"}]'
    )
    assert hashlib.blake2b(canonical, digest_size=16).hexdigest() == DIGEST == "9ddf0f808f73180db947d5c3de705e6a"


def test_an_expectation_is_all_that_is_known_of_a_request() -> None:
    assert Expectation.of(GenerationRequest(id="lead-1", body=BODY, tenant="acme")) == MINE


@pytest.mark.parametrize(
    ("mine", "told", "differs"),
    [
        (MINE, said(), ()),
        (MINE, said("zenith"), ("tenant",)),
        (MINE, said(None), ("tenant",)),
        (NOBODYS, said("zenith"), ("tenant",)),
        (NOBODYS, said(None), ()),
        (MINE, said(digest=OTHER), ("body",)),
        (MINE, said("zenith", digest=OTHER), ("tenant", "body")),
        (MINE, said(endpoint="responses", digest=OTHER), ("endpoint",)),
        (MINE, said("zenith", "responses", OTHER), ("tenant", "endpoint")),
        # an older release, a request cancelled while it was parked: what is not said contradicts nothing
        (MINE, said(None, None, None), ()),
        (MINE, said(digest=None), ()),
        (MINE, said(None, digest=None), ()),
        (NOBODYS, said("zenith", digest=None), ("tenant",)),
        (MINE, said("zenith", None, None), ("tenant",)),
        (MINE, said("acme", "responses", None), ("endpoint",)),
        # who knows the id and perhaps the tenant: a cancel
        (Expectation("lead-1"), said("zenith"), ()),
        (Expectation("lead-1", "acme"), said("zenith"), ("tenant",)),
        (Expectation("lead-1", "acme"), said(None), ("tenant",)),
        (Expectation("lead-1", "acme"), said(None, digest=None), ()),
        (Expectation("lead-1", "acme"), said(), ()),
    ],
)
def test_only_what_both_say_can_contradict(mine: Expectation, told: Completed, differs: tuple[str, ...]) -> None:
    assert mine.differences(told) == differs
    fields = told.model_dump(include={"id", "tenant", "endpoint", "request_digest"})
    assert mine.differences(Chunk(term=1, attempt=1, seq=0, **fields)) == differs


def conflict(**fields: str | None) -> Failed:
    told = {"tenant": "acme", "endpoint": "chat.completions", "request_digest": DIGEST, "submitted_id": "lead-1"}
    return Failed(id="lead-1~3d64", reason="id_conflict", **(told | fields))


@pytest.mark.parametrize(
    ("outcome", "is_mine"),
    [
        (conflict(), True),
        (conflict(tenant="zenith"), False),
        (conflict(request_digest=OTHER), False),
        (conflict(request_digest=None), False),
        (conflict(submitted_id="lead-2"), False),
        (conflict(submitted_id=None), False),
        (said(), False),
    ],
)
def test_a_conflict_is_told_to_its_own_sender_alone(outcome: Completed | Failed, *, is_mine: bool) -> None:
    assert MINE.is_told_of_conflict(outcome) is is_mine
    assert MINE.concerns(outcome) is (is_mine or outcome.id == "lead-1")
    assert not Expectation("lead-1", "acme").is_told_of_conflict(outcome)
