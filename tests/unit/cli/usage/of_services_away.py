"""Verbs while Kafka, Redis and the dispatcher are away: nothing listens at their addresses."""

from tests.unit.cli.usage.row import AWAY, Row

_NOWHERE = {
    "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "HEADRACE_REDIS__URL": "redis://127.0.0.1:1/0",
    "HEADRACE_DISPATCHER__HTTP_PORT": "1",
}
_KAFKA = r"No Kafka listens at 127\.0\.0\.1:1: start it, or check kafka\.bootstrap_servers\."
_REDIS = r"No Redis listens at 127\.0\.0\.1:1: start it, or check redis\.url\."
_NOTHING = (
    rf"No Headrace runs here\. {_REDIS} No dispatcher listens at http://127\.0\.0\.1:1 either\. To try it on this "
    r"machine: `headrace local up`, then `headrace topics create` and `headrace dispatcher`\. .*--url "
    r"http://HOST:PORT\."
)
_LEADS = {"leads.jsonl": '{"id": "lead-1", "body": {"model": "gpt-4o-mini", "messages": []}}\n'}


def _away(typed: str, said: str = _KAFKA) -> Row:
    return Row(f"{typed} --timeout 0.6", said, code=AWAY, environ=_NOWHERE, files=_LEADS)


ROWS = (
    _away("topics check"),
    _away("topics check --json"),
    _away("topics create"),
    _away("results"),
    _away("results --json --failed"),
    _away("results --topic mails --id lead-1"),
    _away("dead-letters list"),
    _away("dead-letters list --json --limit 0"),
    _away("dead-letters show lead-1"),
    _away("dead-letters replay --reason rejected"),
    _away("dead-letters replay --yes --dry-run"),
    _away("submit leads.jsonl"),
    _away("submit leads.jsonl --wait"),
    _away("submit leads.jsonl --json"),
    _away("cancel lead-1"),
    _away("cancel lead-1 --wait"),
    _away("status", _NOTHING),
    _away("status --json", _NOTHING),
    _away("status --id lead-1", rf"{_REDIS} Ask the leader directly: --url http://HOST:PORT\."),
    _away("status --url http://127.0.0.1:1", r"127\.0\.0\.1:1 cannot be reached: nothing listens there\."),
    _away("status --id lead-1 --url 127.0.0.1:1", r"127\.0\.0\.1:1 cannot be reached: nothing listens there\."),
)
