"""The ways in which a token may be sent, and what is no token."""

import base64

import pytest
from pydantic import ValidationError

from headrace.broker.service.status.guard import OPEN, TokenGuard
from headrace.broker.settings.duties import TOKEN_CHARS_MAX
from tests.unit.service.rig import settings_of

TOKEN = "0123456789abcdef-token"


def basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


@pytest.mark.parametrize("sent", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic(f"me:{TOKEN}"), basic(f":{TOKEN}")])
def test_a_token_is_taken_from_a_script_and_from_a_browser(sent: str) -> None:
    assert TokenGuard(TOKEN).admits(sent)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        TOKEN,
        "Bearer",
        "Bearer x",
        f"Bearer {TOKEN}x",
        f"Token {TOKEN}",
        basic(TOKEN),
        basic(f"{TOKEN}:"),
        "Basic !!!",
        "Basic é",
        "Basic " + "A" * 100_000,
        "Bearer \udcff",
    ],
)
def test_nothing_else_is(sent: str | None) -> None:
    assert not TokenGuard(TOKEN).admits(sent)


def test_a_token_has_sixteen_characters_or_more() -> None:
    assert TokenGuard.of(settings_of(dispatcher={"http_token": TOKEN[:16]})).token == TOKEN[:16]
    with pytest.raises(ValidationError, match="is shorter than 16 characters"):
        settings_of(dispatcher={"http_token": TOKEN[:15]})


def test_without_a_token_all_are_admitted_and_none_is_sent() -> None:
    assert OPEN.admits(None)
    assert OPEN.header == {}


def test_the_settings_token_is_sent_as_a_bearer_and_not_shown() -> None:
    guard = TokenGuard.of(settings_of(dispatcher={"http_token": TOKEN}))
    assert guard.header == {"Authorization": f"Bearer {TOKEN}"}
    assert guard.admits(guard.header["Authorization"])
    assert TOKEN not in repr(guard)


def test_the_longest_token_that_may_be_set_is_admitted_and_a_longer_one_may_not_be_set() -> None:
    token = "x" * TOKEN_CHARS_MAX
    guard = TokenGuard.of(settings_of(dispatcher={"http_token": token}))
    assert guard.admits(f"Bearer {token}")
    assert guard.admits(basic(f"any:{token}"))
    with pytest.raises(ValueError, match="is longer than 1,024 characters"):
        settings_of(dispatcher={"http_token": f"{token}x"})
