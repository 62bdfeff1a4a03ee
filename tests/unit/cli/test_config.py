"""`headrace config` as a person at a terminal and a script use it."""

import json
import tomllib
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from headrace.broker.settings.load import load_settings
from tests.unit.gateway.keys.key_files import table


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HEADRACE_CONFIG", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADRACE_RETRY__ATTEMPTS_MAX", "3")
    path = tmp_path / "headrace.toml"
    path.write_text('[redis]\nurl = "redis://me:hush@cache/0"\n[limits."gpt-4.1"]\ntokens_per_minute = 5\n')
    return path


def test_what_is_shown_is_toml_that_means_the_same(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert f'url = "redis://me:***@cache/0" # {config}:2' in lines
    assert "attempts_max = 3 # the environment variable HEADRACE_RETRY__ATTEMPTS_MAX" in lines
    assert "# api_key is not set" in lines
    read = config.with_name("again.toml")
    read.write_text(shown.replace("redis://me:***@cache/0", "redis://me:hush@cache/0"))
    again = load_settings(read, environ={})
    assert again.limits == load_settings(config).limits
    assert again.lanes.keys() == load_settings(config).lanes.keys()
    assert again.dispatcher == load_settings(config).dispatcher


def test_a_control_character_is_shown_as_an_escape_that_toml_has(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = r"\u001b[31m\u007f\u0085\u009b\u202e\u2028\U000e0041\"\\ café"
    config.write_text(
        f'[models]\nallow = ["{name}"]\n[tenants."{name}"]\nweight = 2.0\n[limits."café"]\ncap_tokens_per_minute = 5\n'
    )
    expected = tomllib.loads(config.read_text())
    assert main(["config", "show", "--changed", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert not {letter for letter in shown if not letter.isprintable()} - {"\n"}
    assert tomllib.loads(shown) == expected | {"retry": {"attempts_max": 3}}


def test_only_what_was_changed_can_be_asked_for(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--changed", "--prefix", "eu", "--config", str(config)]) == 0
    assert tomllib.loads(capsys.readouterr().out) == {
        "kafka": {"topic_prefix": "eu"},
        "redis": {"url": "redis://me:***@cache/0"},
        "limits": {"gpt-4.1": {"tokens_per_minute": 5}},
        "retry": {"attempts_max": 3},
    }


def test_a_machine_gets_value_and_origin_of_each_setting(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json", "--config", str(config)]) == 0
    told = json.loads(capsys.readouterr().out)
    where = {"source": "file", "name": str(config), "line": 4}
    assert told["limits"]["gpt-4.1"]["tokens_per_minute"] == {"value": 5, "origin": where}
    assert told["dispatcher"]["held_bytes_max"] == {"value": 67_108_864, "origin": {"source": "default"}}
    assert told["topics"]["ledger"]["retention_s"]["origin"]["because"].startswith("twice")
    assert "hush" not in json.dumps(told)


def test_sound_settings_are_said_to_be_sound(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", str(config)]) == 0
    said = capsys.readouterr()
    assert said.err == f"The settings are sound (from {config}).\n"
    assert "\ncaution  No OpenAI key is set" in said.out


@pytest.mark.parametrize("verb", ["check", "show"])
def test_the_file_may_be_named_without_a_flag(config: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main(["config", verb, str(config)]) == 0
    said = capsys.readouterr()
    assert str(config) in said.out + said.err
    assert main(["config", verb, str(config), "--config", "other.toml"]) == 2
    assert f"The settings file is given twice, as {config} and as --config other.toml" in capsys.readouterr().err


def test_every_mistake_is_a_line_and_the_code_is_2(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("[dispatcher]\nhttp_port = 70_000\n[kafak]\nx = 1\n")
    assert main(["config", "check", "--config", str(config)]) == 2
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"mistake  dispatcher.http_port = 70000 (from {config}:2) must be at most 65535.",
        f"mistake  kafak (from {config}:4) is not a setting: the nearest is kafka.",
    ]
    assert said.err == "2 mistakes: no process starts with these settings.\n"
    assert main(["config", "check", "--json", "--config", str(config)]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["cautions"]) == (False, [])
    assert told["mistakes"][0]["keys"] == ["dispatcher.http_port"]
    assert told["mistakes"][0]["origins"] == [{"source": "file", "name": str(config), "line": 2}]


def test_certificates_that_are_none_are_found_before_a_start(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text('[kafka]\nsecurity_protocol = "SSL"\nca_file = "/gone.pem"\n')
    assert main(["config", "check", "--config", str(config)]) == 2
    said = f"holds no readable certificates: name a file of PEM certificates (from {config}:3)."
    assert f"mistake  kafka.ca_file /gone.pem {said}" in capsys.readouterr().out


def test_every_mistake_of_the_price_file_is_found_before_a_start(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = config.parent / "prices.toml"
    prices.write_text("[models.gpt-x]\noutput = 1\n[models.gpt-y]\ninput = -1\n")
    config.write_text(f'[costs]\nprices_file = "{prices}"\n')
    assert main(["config", "check", "--json", "--config", str(config)]) == 2
    told = json.loads(capsys.readouterr().out)["mistakes"]
    head = f"costs.prices_file (from {config}:2): {prices}: models."
    assert [one["sentence"].removeprefix(head) for one in told] == [
        "gpt-x states output without input: give that price too.",
        "gpt-y.input must be a number from 0 to 100,000.",
    ]
    assert {tuple(one["keys"]) for one in told} == {("costs.prices_file",)}
    config.write_text("[costs]\nprovider = 'opanai'\n")
    assert main(["config", "check", "--config", str(config)]) == 2
    assert f"the nearest is openai (from {config}:2)." in capsys.readouterr().out
    config.write_text(f'[costs]\nenabled = false\nprices_file = "{prices}"\n')
    assert main(["config", "check", "--config", str(config)]) == 0


def test_a_url_that_nobody_could_connect_to_is_found_before_a_start(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text('[redis]\nurl = "redis://:hush@cache:port/0"\n')
    assert main(["config", "check", "--config", str(config)]) == 2
    said = capsys.readouterr().out
    assert said.startswith(f"mistake  redis.url (from {config}:2) cannot be read: ")
    assert f"(from {config}:2)" in said
    assert "hush" not in said


def test_settings_that_are_wrong_cannot_be_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("[dispatcher]\nhttp_port = 70_000\ngrace_s = 1\n")
    assert main(["config", "show", "--config", str(config)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "(and 1 more mistake: `headrace config check` lists them)" in said.err


@pytest.mark.parametrize(
    ("variable", "given"),
    [("OPENAI_CUSTOM_HEADERS", "X-Team: caf\u00e9"), ("HTTP_PROXY", "foo://hush"), ("SSL_CERT_FILE", "/no/such/file")],
)
def test_what_the_sdk_reads_by_itself_is_checked_too(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, given: str
) -> None:
    monkeypatch.setenv(variable, given)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert main(["config", "check", "--config", str(config)]) == 2
    [said] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mistake")]
    assert said.startswith(f"mistake  {variable} ")
    assert not {"caf\u00e9", "foo://hush"} & set(said.split())


def test_an_address_that_cannot_be_looked_up_is_a_mistake_of_its_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text('[openai]\nbase_url = "http://a..b/v1"\n')
    assert main(["config", "check", "--config", str(config)]) == 2
    assert f"(from {config}:2)" in capsys.readouterr().out


def test_what_keeps_gateways_from_starting_is_a_caution_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cautions() -> list[str]:
        assert main(["config", "check", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["cautions"]
        return [one["sentence"] for one in told if one["keys"] == ["gateway.keys_file"]]

    assert cautions() == []
    monkeypatch.setenv("HEADRACE_GATEWAY__ENABLED", "true")
    assert cautions() == ["gateway.enabled is true, and no gateway starts without gateway.keys_file."]
    file = tmp_path / "keys.toml"
    monkeypatch.setenv("HEADRACE_GATEWAY__KEYS_FILE", str(file))
    [sentence] = cautions()
    assert sentence.endswith(f"The key file {file} cannot be read: No such file or directory.")
    file.write_text(table("a", 1, members='lane = "urgnt"\nwait_s = 0'))
    [sentence] = cautions()
    assert sentence.startswith("no gateway starts (from the environment variable HEADRACE_GATEWAY__KEYS_FILE): ")
    file.write_text(table("a", 1))
    assert cautions() == []
