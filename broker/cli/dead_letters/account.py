"""Summary of a replay in sentences: how many were put back, which were skipped and why, and what to do next."""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.amounts import counted
from headrace.consumers.replays.replay import Replay, ReplayReceipt
from headrace.consumers.replays.verdicts import Skip
from headrace.schemas.instants import to_wire

_WHY: Final[Mapping[Skip, str]] = {
    Skip.ANSWERED: "already completed, answered or put back as that run",
    Skip.ID_CONFLICT: "its id belongs to another request: --new-id puts it back under a new id",
    Skip.CRASHED: "it ended dispatchers: only --reason crashed puts it back",
    Skip.CANCELLED: "it was cancelled, so its answer is not needed",
    Skip.CUT: "only the beginning of its value was kept: its producer must send it again",
    Skip.UNREADABLE: "it holds no readable request: its producer must send it again",
    Skip.NO_LANE: "it came from a lane that these settings do not have: name one with --lane",
    Skip.TOO_LARGE: "its record is too large for the lane's topic: raise topics.requests.max_message_bytes",
    Skip.REFUSED: "Kafka refuses it though its size is allowed: check the policies and limits of its lane's topic",
    Skip.RUNS_USED_UP: "it has reached the highest run number: its producer must use a new id",
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
        are = "is not a dead letter" if tally.unreadable == 1 else "are not dead letters"
        sentences.append(f"{counted(tally.unreadable, 'record')} in the topic {are}.")
    return " ".join(sentences)


def _when(replay: Replay) -> str:
    pass_ = replay.pass_
    if pass_ is None:
        return ""
    words = [f"since {to_wire(pass_.since)}"] if pass_.since is not None else []
    words += [f"before {to_wire(pass_.until)}"] if pass_.until is not None else []
    said = f" that failed {' and '.join(words)}" if words else ""
    if replay.resumed:
        said += f", resuming the replay begun at {to_wire(pass_.begun)}"
    return said


def _next(replay: Replay, *, dry: bool) -> str:
    tally = replay.tally
    if dry:
        return "Nothing was written: run it without --dry-run to put them back."
    if not tally.is_done:
        return f"About {tally.left:,} are left: the same command continues with them and puts nothing back twice."
    if tally.put_back:
        return (
            "Their outcomes will carry the next run number: `headrace results --follow` shows them. The same "
            "command will find only newer dead letters."
        )
    return "Nothing is left: the same command will find only newer dead letters."


def interrupted(replay: Replay, *, dry: bool) -> str:
    """Say how to resume after a signal."""
    if dry or replay.pass_ is None:
        return "Interrupted: nothing was written."
    return (
        f"{done(replay, dry=False)} Interrupted; its progress is stored: the same command continues there and puts "
        "nothing back twice."
    )


def ended(replay: Replay, topic_prefix: str) -> str:
    """Say how to resume after Kafka has ended the replay."""
    return (
        f"{done(replay, dry=False)} Kafka accepted no more writes: another replay of {topic_prefix} has begun, or "
        "Kafka was unavailable. Afterwards the same command continues where this one stopped and puts nothing back "
        "twice."
    )
