"""A URL is read as it was meant, or refused; a part of a password is never a host, a port or a path."""

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headrace.broker.adapters.redis.lease import connected
from headrace.broker.errors import SettingsError
from headrace.broker.settings.load import load_settings
from headrace.broker.settings.urls import HttpUrl, RedisUrl, UrlError, is_loopback

TEXT = st.text(min_size=1, max_size=30)
SPECIAL = st.text("ab1/#?@:%&=+[] ü℀\t\n", min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=300)
@given(TEXT | SPECIAL, st.sampled_from(["", "me"]), st.sampled_from(["cache:6379/0", "[::1]:1/2", "h?db=1", "h"]))
def test_a_password_reaches_redis_as_it_was_written_or_the_url_is_refused(word: str, user: str, address: str) -> None:
    try:
        url = RedisUrl.read(f"redis://{user}:{word}@{address}")
    except UrlError as error:
        assert all(word[at : at + 4] not in str(error) for at in range(len(word) - 3))  # noqa: PT017  # each that is raised
        return
    parsed = urlsplit(url.encoded())
    assume(url.host in address)  # what stands behind an @ of the password may be an address by itself
    assert (unquote(parsed.username or ""), unquote(parsed.password or "")) == (user, unquote(word))
    assert url.masked().startswith(f"redis://{user}:***@{url.host}")


@pytest.mark.slow
@given(TEXT)
def test_a_password_that_is_percent_encoded_is_never_ambiguous(word: str) -> None:
    url = f"redis://:{quote(word, safe='')}@cache:6379/3"
    assert RedisUrl.read(url).encoded() == url
    arguments = connected(url).connection_pool.connection_kwargs
    assert [arguments[name] for name in ("host", "port", "db", "password")] == ["cache", 6379, 3, word]


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://:a/b@h:1/2", ("h", 1, 2, "a/b")),
        ("redis://:a#b@h:1/2", ("h", 1, 2, "a#b")),
        ("redis://:a?b@h:1/2", ("h", 1, 2, "a?b")),
        ("redis://:a[b@h:1/2", ("h", 1, 2, "a[b")),
        ("redis://:a@b/c@h:1/2", ("h", 1, 2, "a@b/c")),
        ("redis://:12/3@h:1/2", ("h", 1, 2, "12/3")),
        ("redis://:p@q?word=x@h:1/2", ("h", 1, 2, "p@q?word=x")),
        ("redis://h:1/2?password=a@b#c", ("h", 1, 2, "a@b#c")),
        ("redis://:a℀b@h:1/2", ("h", 1, 2, "a℀b")),
    ],
)
def test_a_password_may_stand_as_it_is_where_only_one_reading_is_possible(url: str, meant: tuple[object, ...]) -> None:
    arguments = connected(url).connection_pool.connection_kwargs
    assert tuple(arguments[name] for name in ("host", "port", "db", "password")) == meant


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hushhush",
        "redis://:12345?db=hush@h",
        "redis://:hush/hush",
        "redis://:hush@h:99999",
        "unix://:hush@nowhere",
        "unix://hush",
        "redis://:hush\udc80@h",
        "redis://:hush@h?ssl_ca_certs=x",
        "redis://:hush@h?db=hush",
        "memcached://:hush@h",
    ],
)
def test_a_url_of_no_or_of_two_readings_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        connected(url)
    assert "hush" not in str(raised.value)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "url",
    [
        "https://u:hu/sh@h/v1",
        "http://h:hush",
        "http://u:1?2@h",
        "https:/h",
        "http://h:99999",
        "http://u:hu\nsh@h",
        "http://h/v1\x7f?hush",
    ],
)
def test_a_base_url_that_would_be_read_amiss_is_a_mistake(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(environ={"OPENAI_BASE_URL": url})
    assert str(raised.value).startswith("openai.base_url (from the environment variable OPENAI_BASE_URL) ")
    assert "hush" not in str(raised.value)


def test_a_base_url_may_have_a_login_a_path_with_an_at_and_a_query() -> None:
    url = HttpUrl.read("https://me:hush@g:443/v1/@cf/openai?key=hush")
    assert (url.host, url.masked()) == ("g", "https://me:***@g:443/v1/@cf/openai?key=***")


@pytest.mark.parametrize("key", ["sk-hüsh", "sk-hush\udc80", "sk-hu\x01sh"])
def test_a_key_that_no_header_takes_is_a_mistake_and_not_repeated(key: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(environ={"OPENAI_API_KEY": key})
    assert "HTTP headers do not allow" in str(raised.value)
    assert "sh" not in str(raised.value)


def test_the_line_break_at_the_end_of_a_key_is_no_part_of_it() -> None:
    key = load_settings(environ={"OPENAI_API_KEY": "sk-1\n"}).openai.api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"


@pytest.mark.parametrize("name", ["ORG_ID", "PROJECT_ID"])
def test_what_goes_into_another_header_is_looked_at_as_well(name: str) -> None:
    with pytest.raises(SettingsError, match="holds a character that HTTP headers do not allow"):
        load_settings(environ={f"OPENAI_{name}": "ü"})


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("127.3.2.1", True),
        ("[::1]", True),
        ("x.localhost", True),
        ("10.0.0.1", False),
        ("h", False),
    ],
)
def test_loopback_is_known_by_its_name(host: str, *, own: bool) -> None:
    assert is_loopback(host) is own
