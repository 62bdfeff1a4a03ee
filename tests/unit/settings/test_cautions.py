"""What is allowed and deserves a word."""

from broker.settings.cautions import WITHOUT_EFFECT, cautions
from broker.settings.known import group_at
from broker.settings.load import load_with_origins

QUIET = {"OPENAI_API_KEY": "k"}


def said(environ: dict[str, str]) -> list[str]:
    return [caution.sentence for caution in cautions(load_with_origins(environ=environ))]


def test_settings_that_do_what_they_say_deserve_no_word() -> None:
    assert said({**QUIET, "HEADRACE_LANES__BULK__FLOOR": "0.1", "HEADRACE_LIMITS": '{"m": {"burst_s": 1}}'}) == []


def test_a_missing_key_is_said_though_only_a_dispatcher_needs_it() -> None:
    [sentence] = said({})
    assert sentence.startswith("no OpenAI key is set: a dispatcher does not start without one")


def test_each_setting_without_effect_is_named_with_its_place() -> None:
    environ = QUIET | {
        "HEADRACE_LANES__BULK__CEILING": "0.5",  # which has one
        "HEADRACE_LIMITS": '{"m": {"tokens_per_day": 1, "charge_law": "usage"}}',  # which have one
        "HEADRACE_TOPICS__LEDGER__SEGMENT_S": "60",
    }
    sentences = said(environ)
    assert [sentence.partition(" (from")[0] for sentence in sentences] == [
        "topics.ledger.segment_s has no effect in this version",
    ]
    assert "(from the environment variable HEADRACE_TOPICS__LEDGER__SEGMENT_S)" in sentences[0]


def test_what_is_without_effect_is_a_setting() -> None:
    tables = {"lanes": ("lanes", "x"), "limits": ("limits", "x"), "topics": ("topics", "ledger")}
    for name in WITHOUT_EFFECT:
        group, _, key = name.partition(".")
        table = group_at(tables[group])
        assert table is not None
        assert key in table.model_fields


def test_a_password_in_the_clear_and_certificates_nobody_looks_at_are_said() -> None:
    kafka = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", "USERNAME": "u", "PASSWORD": "hush"}
    environ = QUIET | {f"HEADRACE_KAFKA__{key}": value for key, value in kafka.items()}
    sentences = said({**environ, "HEADRACE_KAFKA__CA_FILE": "ca.pem"})
    assert sentences[0].startswith("kafka.ca_file has no effect while kafka.security_protocol is SASL_PLAINTEXT")
    assert sentences[1].startswith("kafka.password crosses the network in the clear")
    assert "hush" not in "".join(sentences)
    assert said({**environ, "HEADRACE_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512"}) == []
