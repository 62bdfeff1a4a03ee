"""The search for what is confidential finds it, wherever it stands, and does not repeat it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream
from tests.integration.fleet import Fleet, producing, read_all, send
from tests.integration.privacy import MARKS, PRIVACY, Privacy, Secrets, learned
from tests.integration.test_recovery import plentiful

PROMPT = "Frau Müller asked not to be phoned before the board has met."
NOTE = "pays late, see the file of 2024"


def leaks(secrets: Secrets, *lines: str) -> list[str]:
    privacy = Privacy()
    privacy.search("a.log", "\n".join(lines), secrets)
    return privacy.leaks


async def test_what_went_through_kafka_is_found_in_what_is_written(services: LocalServices, tmp_path: Path) -> None:
    asked: Mapping[str, object] = {
        "id": "lead-of-a-long-name-8841",
        "tenant": "acme-with-a-long-name",
        "body": {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": f"lead-of-a-long-name-8841: {PROMPT}"}],
        },
        "metadata": {"note": NOTE},
    }
    bad: dict[str, object] = {"id": "bad", "body": "the body is the text of a prompt", "metadata": {}}
    known = len(PRIVACY.leaks)
    async with (
        Upstream(plentiful()) as upstream,
        Fleet(services, "privacy", upstream.base_url, tmp_path) as fleet,
        producing(fleet) as producer,
    ):
        dispatcher = await fleet.start()
        await send(producer, fleet, "urgent", [dict(asked), bad])
        outcomes = {value["id"]: value for value in (await read_all(fleet, "results", until=2)).values}
        topics = [f"privacy.{name}" for name in ("requests.urgent", "results", "dead-letters")]
        secrets, read = await learned(services.endpoints.bootstrap_servers, topics)
        assert read == dict(zip(topics, (2, 2, 1), strict=True))
        whole = outcomes["lead-of-a-long-name-8841"]["response"]["choices"][0]["message"]["content"]
        answer = max(whole.splitlines(), key=len)
        written = dispatcher.said().rstrip()
    assert len(PRIVACY.leaks) == known
    assert leaks(secrets, written, "", "lead-of-a-long-name-8841 of acme-with-a-long-name waits") == []
    for line in (
        PROMPT,
        PROMPT[11:40],
        json.dumps(PROMPT),
        repr({"x": PROMPT})[:40],
        NOTE,
        answer,
        answer[9:40],
        bad["body"],
    ):
        assert len(found := leaks(secrets, written, f'{{"event": "said", "text": "{line}"}}')) == 1, line
        number = len(written.splitlines()) + 1
        assert found[0].startswith(f"a.log, line {number}: text of `")
        assert str(line)[:16] not in found[0]


@pytest.mark.parametrize("kind", MARKS)
def test_a_mark_is_found_where_nothing_was_learned(kind: str) -> None:
    assert leaks(Secrets(), "nothing", f"GET / {MARKS[kind]}-and-more") == [f"a.log, line 2: {kind}"]


def test_what_a_test_says_of_other_verbs_is_searched(tmp_path: Path) -> None:
    file = tmp_path / "said.log"
    file.write_text(f"one\ntwo {MARKS['a key']}\n")
    privacy = Privacy()
    privacy.search_files([file], Secrets())
    assert privacy.leaks == [f"{file}, line 2: a key"]
    assert privacy.searched == 2
