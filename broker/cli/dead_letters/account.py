"""Summary of a replay in sentences: how many were put back, which were skipped and why, and what to do next."""

from collections.abc import Mapping
from typing import Any, Final

from broker.cli.amounts import counted
from consumers.replays.replay import Replay, ReplayReceipt
from consumers.replays.verdicts import Skip
from schemas.instants import to_wire

_WHY: Final[Mapping[Skip, str]] = {
    Skip.ANSWERED: "completed, or answered or put back as that run already",
    Skip.ID_CONFLICT: "an id of another request: --new-id puts it back under a new one",
    Skip.CRASHED: "ended dispatchers: only --reason crashed puts it back",
    Skip.CANCELLED: "it was cancelled, so its answer is of no use",
    Skip.CUT: "only the beginning of its value was kept: its producer must send it again",
    Skip.UNREADABLE: "no request can be read from it: its producer must send it again",
    Skip.NO_LANE: "came from no lane of these settings: --lane names one",
    Skip.TOO_LARGE: "its lane takes no record of its size: raise topics.requests.max_message_bytes",
    Skip.REFUSED: "Kafka does not take it, though it should: see the policies and limits of its lane's topic",
    Skip.RUNS_USED_UP: "replayed as often as can be counted: its producer must use a new id",
}


def receipt_object(receipt: ReplayReceipt) -> dict[str, Any]:
    """Return a receipt as an object for JSON."""
    return {
        "id": receipt.id,
        "run": receipt.run,
        "lane": receipt.lane,
        "place": str(receipt.place),
        "reason": receipt.reason,
        "deadline": to_wire(receipt.deadline),
    }


def as_object(replay: Replay, *, dry: bool) -> dict[str, Any]:
    """Return the summary as an object for JSON."""
    tally, pass_ = replay.tally, replay.pass_
    return {
        "summary": {
            "job": replay.group,
            "dry_run": dry,
            "put_back": tally.put_back,
            "skipped": {skip.value: count for skip, count in sorted(tally.skipped.items())},
            "unreadable_records": tally.unreadable,
            "left": 0 if tally.is_done else tally.left,
            "done": tally.is_done,
            "since": None if pass_ is None or pass_.since is None else to_wire(pass_.since),
            "until": None if pass_ is None or pass_.until is None else to_wire(pass_.until),
        }
    }


def summary(replay: Replay, *, dry: bool) -> str:
    """Return the summary as text, for a replay that came to its end or to its limit."""
    return f"{done(replay, dry=dry)} {_next(replay, dry=dry)}"


def done(replay: Replay, *, dry: bool) -> str:
    """Say how many were put back, and which were not."""
    tally = replay.tally
    verb = "Would put back" if dry else "Put back"
    sentences = [f"{verb} {counted(tally.put_back, 'dead letter')}{_when(replay)}."]
    if tally.skipped:
        listed = "; ".join(f"{count:,} {skip} ({_WHY[skip]})" for skip, count in tally.skipped.most_common())
        sentences.append(f"Skipped: {listed}.")
    if tally.unreadable:
        are = "is no dead letter" if tally.unreadable == 1 else "are no dead letters"
        sentences.append(f"{counted(tally.unreadable, 'record')} there {are}.")
    return " ".join(sentences)


def _when(replay: Replay) -> str:
    pass_ = replay.pass_
    if pass_ is None:
        return ""
    words = [f"since {to_wire(pass_.since)}"] if pass_.since is not None else []
    words += [f"before {to_wire(pass_.until)}"] if pass_.until is not None else []
    said = f" that failed {' and '.join(words)}" if words else ""
    if replay.resumed:
        said += f", going on with what began at {to_wire(pass_.begun)}"
    return said


def _next(replay: Replay, *, dry: bool) -> str:
    tally = replay.tally
    if dry:
        return "Nothing was written: leave out --dry-run to do it."
    if not tally.is_done:
        return f"About {tally.left:,} are left: the same command goes on behind them, and puts back nothing twice."
    if tally.put_back:
        return (
            "Their outcomes come under the next run: `headrace results --follow` shows them. The same command finds "
            "only what is new."
        )
    return "There is nothing left: the same command finds only what is new."


def interrupted(replay: Replay, *, dry: bool) -> str:
    """Say how to resume after a signal."""
    if dry or replay.pass_ is None:
        return "Interrupted: nothing was written."
    return (
        f"{done(replay, dry=False)} Interrupted, and noted how far it is: the same command goes on there and puts back "
        "nothing twice."
    )


def ended(replay: Replay, topic_prefix: str) -> str:
    """Say how to resume after Kafka has ended the replay."""
    return (
        f"{done(replay, dry=False)} Kafka took no more: another replay of {topic_prefix} has begun, or Kafka was away. "
        "When that is over, the same command goes on where this one stopped and puts back nothing twice."
    )
