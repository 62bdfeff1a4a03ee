"""Secrets, header values and URLs that nothing can be sent with: refused by name, in one sentence that repeats nothing.

Each row is refused by `config check` and by the start of a dispatcher alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from tests.unit.cli.usage.row import LIBRARY_WORDS

SECRET = "Qz7Xw9"
"""Stands in every value, and must stand in no sentence."""
SASL = '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\n'


@dataclass(frozen=True)
class Refused:
    """What is given, the name of the setting in the sentence, and what that says of it."""

    name: str
    said: str
    environ: Mapping[str, str] = field(default_factory=dict)
    toml: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


def in_key(value: str, said: str) -> Refused:
    return Refused("openai.api_key", said, {"OPENAI_API_KEY": value})


def in_file(content: bytes, said: str) -> Refused:
    return Refused("openai.api_key", said, toml='[openai]\napi_key_file = "key"', files={"key": content})


QUOTES, LINES, NO_HEADER = "quotation mark", "more than one line", "HTTP headers do not allow"
SPACE, WORD, NAME, EMPTY = "holds a space", "Bearer or Basic", "name of a variable or of a header", "is empty"
BREAK, NO_URL = "holds a line break or a NUL", "that URLs do not allow"

ROWS = {
    "key, two lines": in_key(f"sk-{SECRET}\nsk-{SECRET}", LINES),
    "key, two lines of Windows": in_key(f"sk-{SECRET}\r\nsk-{SECRET}", LINES),
    "key, separator of lines": in_key(f"sk-{SECRET}\u2028x", LINES),
    "key, typographic": in_key(f"\u201csk-{SECRET}\u201d", QUOTES),
    "key, typographic at its end": in_key(f"sk-{SECRET}\u2019", QUOTES),
    "key, german": in_key(f"\u201esk-{SECRET}\u201c", QUOTES),
    "key, guillemets": in_key(f"\u00absk-{SECRET}\u00bb", QUOTES),
    "key, quoted": in_key(f'"sk-{SECRET}"', QUOTES),
    "key, quoted once": in_key(f"'sk-{SECRET}", QUOTES),
    "key, back-ticks": in_key(f"`sk-{SECRET}`", QUOTES),
    "key, typographic within": in_key(f"sk-\u2018{SECRET}", NO_HEADER),
    "key, umlaut": in_key(f"sk-ü{SECRET}", NO_HEADER),
    "key, long dash": in_key(f"sk\u2013{SECRET}", NO_HEADER),
    "key, invisible": in_key(f"sk-{SECRET}\u200b", NO_HEADER),
    "key, mark of byte order": in_key(f"\ufeffsk-{SECRET}", NO_HEADER),
    "key, escape": in_key(f"sk-\x1b{SECRET}", NO_HEADER),
    "key, Bearer": in_key(f"Bearer sk-{SECRET}", WORD),
    "key, bearer": in_key(f"bearer:sk-{SECRET}", WORD),
    "key, header": in_key(f"Authorization: Bearer sk-{SECRET}", NAME),
    "key, line of .env": in_key(f"OPENAI_API_KEY=sk-{SECRET}", NAME),
    "key, line of .env without a value": in_key(f"OPENAI_KEY_{SECRET.upper()}=", NAME),
    "key, line of a shell": in_key(f"export OPENAI_API_KEY=sk-{SECRET}", NAME),
    "key, space": in_key(f"sk-{SECRET} x", SPACE),
    "key, tab": in_key(f"sk-{SECRET}\tx", SPACE),
    "key, spaces alone": in_key("  ", EMPTY),
    "key, empty": Refused("openai.api_key", EMPTY, toml='[openai]\napi_key = ""'),
    "key of a group": Refused("openai.api_key", LINES, {"HEADRACE_OPENAI": f'{{"api_key": "{SECRET}\\nx"}}'}),
    "key file, two lines": in_file(f"sk-{SECRET}\nsk-{SECRET}\n".encode(), LINES),
    "key file, quoted": in_file(f'"sk-{SECRET}"\n'.encode(), QUOTES),
    "key file, .env": in_file(f"OPENAI_API_KEY=sk-{SECRET}\n".encode(), NAME),
    "key file, typographic": in_file(f"\u201csk-{SECRET}\u201d".encode(), QUOTES),
    "key file, UTF-16": in_file(f"sk-{SECRET}".encode("utf-16"), "it is not text"),
    "key file, NULs": in_file(f"sk-{SECRET}".encode("utf-16-le"), NO_HEADER),
    "key file, line breaks alone": in_file(b"\r\n\n", EMPTY),
    "key file, huge": in_file(b"sk-" + SECRET.encode() * 20_000, "too large to be a secret"),
    "organisation, typographic": Refused("openai.organization", QUOTES, {"OPENAI_ORG_ID": f"\u201c{SECRET}\u201d"}),
    "organisation, two lines": Refused("openai.organization", LINES, {"OPENAI_ORG_ID": f"{SECRET}\nx"}),
    "organisation, umlaut": Refused("openai.organization", NO_HEADER, {"OPENAI_ORG_ID": f"ü{SECRET}"}),
    "organisation, name": Refused("openai.organization", SPACE, {"OPENAI_ORG_ID": f"{SECRET} Limited"}),
    "organisation, empty": Refused("openai.organization", EMPTY, toml='[openai]\norganization = ""'),
    "project, quoted": Refused("openai.project", QUOTES, {"OPENAI_PROJECT_ID": f'"{SECRET}"'}),
    "project, two lines": Refused("openai.project", LINES, {"HEADRACE_OPENAI__PROJECT": f"{SECRET}\nx"}),
    "project, empty": Refused("openai.project", EMPTY, toml='[openai]\nproject = " "'),
    "header, typographic": Refused(
        "OPENAI_CUSTOM_HEADERS", NO_HEADER, {"OPENAI_CUSTOM_HEADERS": f"X-Key: \u201c{SECRET}\u201d"}
    ),
    "header, control": Refused("OPENAI_CUSTOM_HEADERS", NO_HEADER, {"OPENAI_CUSTOM_HEADERS": f"X-Key: \x07{SECRET}"}),
    "header, no colon": Refused(
        "OPENAI_CUSTOM_HEADERS", "no colon in line 2", {"OPENAI_CUSTOM_HEADERS": f"A: b\n{SECRET}"}
    ),
    "user agent, umlaut": Refused(
        "OPENAI_CUSTOM_HEADERS", NO_HEADER, {"OPENAI_CUSTOM_HEADERS": f"User-Agent: ü{SECRET}"}
    ),
    "URL, quoted": Refused("openai.base_url", "must begin with http", {"OPENAI_BASE_URL": f'"https://{SECRET}/v1"'}),
    "URL, quotation mark behind": Refused("openai.base_url", NO_URL, {"OPENAI_BASE_URL": f"https://gw/{SECRET}\u201d"}),
    "URL, space": Refused("openai.base_url", NO_URL, {"OPENAI_BASE_URL": f"https://gw/{SECRET} x"}),
    "URL, two lines": Refused("openai.base_url", "line break", {"OPENAI_BASE_URL": f"https://gw/v1\n{SECRET}"}),
    "URL, empty": Refused("openai.base_url", "must begin with http", toml='[openai]\nbase_url = ""'),
    "password, two lines": Refused("kafka.password", BREAK, toml=f'{SASL}username = "u"\npassword = "{SECRET}\\nx"'),
    "password, NUL": Refused("kafka.password", BREAK, toml=f'{SASL}username = "u"\npassword = "{SECRET}\\u0000"'),
    "password, empty": Refused("kafka.password", EMPTY, toml=f'{SASL}username = "u"\npassword = ""'),
    "password file, two lines": Refused(
        "kafka.password",
        BREAK,
        toml=f'{SASL}username = "u"\npassword_file = "key"',
        files={"key": f"{SECRET}\nx\n".encode()},
    ),
    "user, line break": Refused("kafka.username", BREAK, toml=f'{SASL}username = "{SECRET}\\n"\npassword = "p"'),
    "user, empty": Refused("kafka.username", EMPTY, toml=f'{SASL}username = ""\npassword = "p"'),
    "redis, quoted": Refused("redis.url", "must begin with redis", {"HEADRACE_REDIS__URL": f"'redis://:{SECRET}@h/0'"}),
    "redis, two lines": Refused("redis.url", BREAK, {"HEADRACE_REDIS__URL": f"redis://:{SECRET}\nx@h/0"}),
    "redis, NUL": Refused("redis.url", BREAK, toml=f'[redis]\nurl = "redis://:{SECRET}\\u0000@h/0"'),
    "redis file, two URLs": Refused(
        "redis.url",
        BREAK,
        toml='[redis]\nurl_file = "key"',
        files={"key": f"redis://:{SECRET}@h/0\nredis://:{SECRET}@i/0\n".encode()},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", [["config", "check"], ["dispatcher"]], ids=["check", "start"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_it_is_refused_by_name_and_not_repeated(
    row: Refused, verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HEADRACE_CONFIG", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    if "api_key" in row.toml:
        monkeypatch.delenv("OPENAI_API_KEY")
    for name, value in row.environ.items():
        monkeypatch.setenv(name, value)
    for name, content in row.files.items():
        (tmp_path / name).write_bytes(content)
    config = tmp_path / "headrace.toml"
    config.write_text(row.toml, encoding="utf-8")
    code = main([*verb, "--config", str(config)])
    out, err = capsys.readouterr()
    told = out + err
    assert code == 2
    (sentence,) = [line for line in told.splitlines() if row.name in line and row.said in line]
    assert sentence.isprintable()
    assert SECRET not in told
    assert not LIBRARY_WORDS.search(told)


FINE = {
    "key, line break behind": ({"OPENAI_API_KEY": "sk-any\n"}, "", b""),
    "key file, line breaks behind": ({}, '[openai]\napi_key_file = "key"', b"sk-any\r\n\n"),
    "key file, mark of byte order": ({}, '[openai]\napi_key_file = "key"', b"\xef\xbb\xbfsk-any\n"),
    "key, base 32": ({"OPENAI_API_KEY": "JBSWY3DPEHPK3PXP===="}, "", b""),
    "key, a word that is no scheme": ({"OPENAI_API_KEY": "basic-tier-8473"}, "", b""),
    "password, anything": ({}, SASL + 'username = "ü"\npassword = " \\"p\u201c\\tß "', b""),
    "password file, space behind": ({}, SASL + 'username = "u"\npassword_file = "key"', b"p \n"),
    "redis file, line break": ({}, '[redis]\nurl_file = "key"', b"redis://:p@h/0 \n"),
    "URL, white space around": ({"OPENAI_BASE_URL": " https://gw/v1\n"}, "", b""),
}


@pytest.mark.slow
@pytest.mark.parametrize(("environ", "toml", "content"), FINE.values(), ids=FINE)
def test_what_is_meant_without_a_doubt_is_taken(  # noqa: PLR0917 — three fixtures
    environ: dict[str, str],
    toml: str,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("HEADRACE_CONFIG", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "key").write_bytes(content)
    config = tmp_path / "headrace.toml"
    config.write_text(toml, encoding="utf-8")
    assert main(["config", "check", "--config", str(config)]) == 0, capsys.readouterr()


CAUTIONS = {
    "password": (SASL + 'username = "u"\npassword = "\\"p\\""', "kafka.password is enclosed in quotation marks"),
    "user": (SASL + "username = '\u201cu\u201d'\npassword = 'p'", "kafka.username is enclosed in quotation marks"),
    "endpoint": ('[openai]\nbase_url = "https://gw/v1/chat/completions/"', "ends in /chat/completions"),
    "list": ('[openai]\nbase_url = "https://gw/v1/models?a=b"', "ends in /models"),
    "no path": ('[openai]\nbase_url = "https://api.openai.com"', "has no path"),
}


@pytest.mark.parametrize(("toml", "said"), CAUTIONS.values(), ids=CAUTIONS)
def test_what_may_be_meant_is_a_caution(
    toml: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    config = tmp_path / "headrace.toml"
    config.write_text(toml, encoding="utf-8")
    assert main(["config", "check", "--config", str(config)]) == 0
    assert said in capsys.readouterr().out
