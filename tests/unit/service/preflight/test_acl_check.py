"""What each process needs, and the sentence that says what of it is missing."""

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.rights import Seen
from headrace.broker.service.preflight.acl_check import (
    Needs,
    _about_replies,
    _about_totals,
    _absent,
    _sentence,
    dispatcher_needs,
    gateway_needs,
    retrier_needs,
)
from headrace.broker.settings.whole import Settings

NEEDS = Needs("p.dispatcher", ("lane", "ledger"), ("results", "ledger"))
ALL = frozenset({"READ", "WRITE", "DESCRIBE"})


def test_a_dispatcher_reads_its_lanes_and_writes_outcomes() -> None:
    needs = dispatcher_needs(Settings())
    assert needs.name == "generation.dispatcher"
    assert {"generation.requests.urgent", "generation.requests.bulk", "generation.ledger"} <= set(needs.read)
    assert set(needs.write) == {
        f"generation.{kind}" for kind in ("results", "failures", "chunks", "dead-letters", "ledger")
    }
    assert len(needs.topics) == len(set(needs.topics))


def test_a_retrier_reads_failures_and_writes_lanes() -> None:
    needs = retrier_needs(Settings())
    assert (needs.name, needs.read) == ("generation.retrier", ("generation.failures",))
    assert "generation.requests.standard" in needs.write
    assert "generation.results" not in needs.topics


def test_a_gateway_writes_lanes_and_reads_outcomes_without_a_transaction() -> None:
    needs = gateway_needs(Settings())
    assert (needs.name, needs.group) == ("", "generation.gateway")
    assert needs.read == tuple(f"generation.{kind}" for kind in ("results", "chunks", "calls", "batches"))
    assert {"generation.requests.urgent", "generation.control", "generation.calls", "generation.batches"} <= set(
        needs.write
    )
    assert not {"generation.results", "generation.ledger", "generation.dead-letters"} & set(needs.write)


def test_only_what_is_missing_is_named() -> None:
    seen = Seen({"lane": frozenset({"DESCRIBE"}), "ledger": frozenset({"READ"})}, (), ("results",))
    assert _absent(seen, NEEDS) == [("READ", "lane"), ("WRITE", "results"), ("WRITE", "ledger")]
    assert _absent(Seen(dict.fromkeys(("lane", "ledger", "results"), ALL), (), ()), NEEDS) == []
    assert len(_absent(Seen(dict.fromkeys(("lane", "ledger", "results"), frozenset()), (), ()), NEEDS)) == 4


def test_a_server_that_tells_no_rights_is_believed_to_grant_them() -> None:
    assert _absent(Seen(dict.fromkeys(("lane", "ledger", "results"), None), (), ()), NEEDS) == []


def test_the_sentence_shows_how_the_first_right_is_granted() -> None:
    connection = KafkaConnection("kafka:9092")
    seen = Seen({}, (), ())
    assert _sentence(connection, ["WRITE on the transactional id p.dispatcher"], seen) == (
        "In Kafka user ANONYMOUS lacks WRITE on the transactional id p.dispatcher: grant it, such as with "
        "`kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:ANONYMOUS --operation Write "
        "--transactional-id p.dispatcher`."
    )
    hidden = Seen({}, (), ("lane",))
    assert "(or topics without any right do not exist)" in _sentence(connection, ["READ on the topic lane"], hidden)


def test_what_is_amiss_with_a_reply_topic_is_a_sentence_for_each() -> None:
    needs = dispatcher_needs(Settings(replies={"allow": ["good", "gone", "denied", "hidden", "untold"]}))
    assert not {"good", "gone"} & set(needs.topics)
    allowed = {"good": frozenset({"WRITE"}), "denied": frozenset({"READ"}), "untold": None}
    gone, denied, hidden = _about_replies(KafkaConnection("kafka:9092"), needs, Seen(allowed, ("gone",), ("hidden",)))
    assert gone == "The reply topic gone does not exist: its owner must create it, or replies.allow must not name it."
    assert "lacks WRITE on the topic denied: grant it" in denied
    assert "--operation Write --topic denied" in denied
    assert "lacks WRITE on the topic hidden (or topics without any right do not exist): grant it" in hidden


def test_a_dispatcher_starts_without_the_totals_topic_and_says_how_it_is_made() -> None:
    needs = dispatcher_needs(Settings())
    assert needs.totals == "generation.totals"
    assert needs.totals not in needs.topics
    kafka = KafkaConnection("kafka:9092")
    assert "`headrace topics create`" in _about_totals(kafka, needs.totals, Seen({}, (needs.totals,), ()))
    denied = _about_totals(kafka, needs.totals, Seen({needs.totals: frozenset({"READ"})}, (), ()))
    assert "lacks WRITE on the topic generation.totals" in denied
    assert "lacks READ on the topic generation.totals" in _about_totals(
        kafka, needs.totals, Seen({}, (), (needs.totals,))
    )
    assert _about_totals(kafka, needs.totals, Seen({needs.totals: ALL}, (), ())) == ""
    assert retrier_needs(Settings()).totals == gateway_needs(Settings()).totals == ""
