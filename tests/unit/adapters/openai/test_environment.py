"""What the environment says behind the settings' back: what no call could be made with is named before one is."""

from pathlib import Path

import pytest

from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls
from headrace.broker.adapters.openai.environment import unusable
from headrace.broker.errors import SettingsError
from headrace.broker.service.compose import openai_access
from headrace.broker.settings.load import load_settings

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "OPENAI_CUSTOM_HEADERS", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def _found(monkeypatch: pytest.MonkeyPatch, url: str | None = None, **environ: str) -> list[tuple[str, str]]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return [(one.variable, one.sentence) for one in unusable(url, environ)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("X-Team: caf\u00e9", "gives X-Team in line 1 a character that HTTP headers do not allow"),
        ("X-Team: caf\udce9", "gives X-Team in line 1 a character that HTTP headers do not allow"),
        ("X-Team: a\x01b", "gives X-Team in line 1 a character that HTTP headers do not allow"),
        ("X-Team: a\rb", "gives X-Team in line 1 a character that HTTP headers do not allow"),
        ("X-Team: secret\n and more", "has no colon in line 2"),
        ("X Team: a", "has an invalid header name in line 1"),
        (": a", "has an invalid header name in line 1"),
        ("X-\u00e9: a", "has an invalid header name in line 1"),
        ("X-Team: a\nContent-Length: 7", "sets Content-Length in line 2, which belongs to the HTTP client"),
        ("Transfer-Encoding: chunked", "sets Transfer-Encoding in line 1, which belongs to the HTTP client"),
    ],
)
def test_a_header_that_ends_each_call_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    [(variable, sentence)] = _found(monkeypatch, OPENAI_CUSTOM_HEADERS=given)
    assert variable == "OPENAI_CUSTOM_HEADERS"
    assert sentence.startswith(f"OPENAI_CUSTOM_HEADERS {said}")
    assert not {"caf", "secret", "chunked"} & set(sentence.replace(":", " ").split())


def test_headers_that_can_be_sent_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given = "X-Team: a b\tc\r\nAuthorization: Bearer sk-x\nX-Empty:\n\n"
    assert _found(monkeypatch, OPENAI_CUSTOM_HEADERS=given) == []


@pytest.mark.parametrize(
    "proxy",
    [
        "foo://x",
        "http://h:x",
        "http://h:99999",
        "http://[::1",
        "http://",
        "http://u%3Ax:hush@h:1",
        "http://a..b",
        "http://h:0",
        "h:1:2",
    ],
)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_ends_the_start_or_each_call_is_named_and_its_login_is_not(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    [(named, sentence)] = _found(monkeypatch, **{variable: proxy})
    assert named == variable
    assert sentence.startswith(f"{variable} ")
    assert "hush" not in sentence


@pytest.mark.parametrize(
    "proxy", ["http://me:p%C3%A9@h:3128", "http://me:\u20ac@h:3128", "https://h", "h:3128", "http://[::1]:3128"]
)
def test_a_proxy_that_can_be_used_is_left_alone(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    assert _found(monkeypatch, HTTP_PROXY=proxy) == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ALL_PROXY": "socks5://h:1"}, ["ALL_PROXY"]),
        ({"HTTPS_PROXY": "SOCKS5H://h:1"}, ["HTTPS_PROXY"]),
        ({"ALL_PROXY": "socks5h://h:1", "HTTPS_PROXY": "HTTP://h:2"}, []),
        ({"HTTP_PROXY": "socks5://h:1"}, []),
        ({"ALL_PROXY": "socks5://h:1", "NO_PROXY": "localhost,.gate.invalid"}, []),
        ({"ALL_PROXY": "socks5://h:1", "NO_PROXY": "localhost,other.invalid"}, ["ALL_PROXY"]),
        ({"ALL_PROXY": "foo://h:1", "HTTPS_PROXY": "http://h:2"}, ["ALL_PROXY"]),
    ],
)
def test_a_socks_proxy_is_named_where_calls_would_go_through_it(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: list[str]
) -> None:
    """Before: what other programs are told by ALL_PROXY kept a dispatcher with an HTTPS_PROXY from starting."""
    assert [variable for variable, _ in _found(monkeypatch, "https://in.gate.invalid/v1", **given)] == named


def test_no_proxy_for_any_host_means_that_none_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _found(monkeypatch, HTTP_PROXY="foo://x", NO_PROXY="a, *") == []


@pytest.mark.parametrize("said", ["", "no certificate"])
def test_certificates_that_are_none_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    file = tmp_path / "ca.pem"
    if said:
        file.write_text(said)
    [(variable, sentence)] = _found(monkeypatch, SSL_CERT_FILE=str(file))
    assert variable == "SSL_CERT_FILE"
    assert sentence.startswith("SSL_CERT_FILE does not name a readable file of certificates")


@pytest.mark.parametrize("url", ["http://[1:2]/v1", "http://999.1.1.1/v1", "http://a..b/v1", f"http://{'a' * 70}.b/v1"])
def test_an_address_that_nothing_can_look_up_is_said_of_the_setting(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    [(variable, sentence)] = _found(monkeypatch, url)
    assert variable == ""
    assert sentence.startswith("openai.base_url ")


@pytest.mark.parametrize(
    "url", [None, "http://m:e:p@gate.invalid:8443/v1", "http://[::1]:1/v1", "http://\u00fc.invalid/"]
)
def test_an_address_that_can_be_asked_is_left_alone(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    assert _found(monkeypatch, url) == []


def test_a_start_ends_with_the_first_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(environ={"OPENAI_API_KEY": "sk-any"})
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: caf\u00e9")
    with pytest.raises(SettingsError, match="OPENAI_CUSTOM_HEADERS gives X-Team in line 1"):
        openai_access(settings)


@pytest.mark.parametrize("given", ["X-Team: a b", "X-Team: a\tb", "X-Empty:", "Authorization: Bearer x", "Host: gate"])
async def test_what_passes_can_be_sent(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", given)
    assert list(unusable("http://127.0.0.1:1/v1", {"OPENAI_CUSTOM_HEADERS": given})) == []
    door = OpenAICalls(OpenAIAccess("sk-any", "http://127.0.0.1:1/v1", None, None, timeout_s=1, connections_max=1))
    reply = await door.call("chat.completions", {"model": "m"}, "r1")
    await door.close()
    assert reply.answer.error_code == "connection"
    assert "refused" in reply.answer.message.lower()
