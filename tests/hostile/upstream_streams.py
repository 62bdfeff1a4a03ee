"""Hostile streams: events of other shapes, streams that do not end, drip, or hold what they should not."""

import random

from tests.hostile.upstream_pieces import Asked, Step, bomb, chunks, event, head, stream, weird, weird_name, whole


def stream_odd(dice: random.Random, asked: Asked) -> list[Step]:
    good = chunks(asked)
    odd = [
        event("{"), event("null"), event("[]"), event("1"), event('"x"'), "data\n\n", ":\n\n", "\n\n\n", "event: x\n\n", "id: \x00\n\n",
        "retry: 99999999999999999999\n\n", "retry: x\n\n", event({"choices": 7}), event({"choices": [7, None, [], "x"]}),
        event({"error": None}), event({"error": weird(dice)}), event({"object": "error", "message": weird(dice)}),
        event({"type": "error", "code": weird(dice)}), event({"choices": [{"index": weird(dice), "delta": weird(dice)}]}),
        event({"choices": [{"index": 10**9, "delta": {"content": "x"}, "finish_reason": "stop"}]}),
        event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 10**9, "function": {"arguments": "x"}}]}}]}),
        event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": weird(dice)}, weird(dice)]}}]}),
        event({"choices": [{"index": 0, "delta": {"content": weird(dice)}}]}), event({"id": weird(dice), "model": weird(dice)}),
        event({"choices": [{"index": 0, "delta": {"content": "x" * 5_000_000}}]}), event("[" * 50_000), event('{"x": ' + "9" * 9_000 + "}"),
        b"data: \xff\xfe\n\n", b"\xff\xff\xff\n\n", event('{"choices": [{"index": 0, "delta": {"content": "\\ud83d"}}]}'),
        event({"usage": weird(dice), "choices": []}), "data: [DONE]\n\n", "data: [DONE] and more\n\n", "event: thread.x\ndata: {}\n\n",
        event({"choices": [{"index": 0, "delta": {}, "logprobs": weird(dice), "finish_reason": weird(dice)}]}),
        event({"choices": [{"index": 0, "delta": {"content": None, "role": weird(dice), weird_name(dice): weird(dice)}}]}),
    ]  # fmt: skip
    for _time in range(dice.choice([1, 3])):
        good.insert(dice.randrange(len(good) + 1), dice.choice(odd))  # type: ignore[arg-type]
    end = dice.choice([["data: [DONE]\n\n"], [], ["data: [DONE]\n\n", *good], ["data: [DONE]"]])
    return stream([*good, *end])


def stream_long(dice: random.Random, asked: Asked) -> list[Step]:
    unit = dice.choice(
        [b":\n\n", b"data: {}\n\n", b"data: " + b"x" * 3_000, b"\n", b"data: x\n", b'data: {"choices": []}\n\n',
         b'data: {"choices": [{"index": 0, "delta": {"content": "word "}}]}\n\n']
    )  # fmt: skip
    return stream(chunks(asked)[:2], after=[unit * (300_000 // len(unit))] * dice.choice([3, 20]))


def stream_names(_: random.Random, asked: Asked) -> list[Step]:
    """Each event brings a member, a choice and a call of a tool that no other had."""
    events = [
        event({f"name{at}": "x" * 20, "choices": [{"index": at, "delta": {"tool_calls": [{"index": at, "id": "x"}]}}]})
        for at in range(8_000)
    ]
    return stream([*chunks(asked)[:2], *events, "data: [DONE]\n\n"])


def stream_endless(dice: random.Random, asked: Asked) -> list[Step]:
    unit = dice.choice(
        [b": still here\n\n", b"data: " + b"x" * 60_000, b"x" * 60_000, event({"choices": []}).encode() * 500]
    )
    return [head(200, [("connection", "close")], kind="text/event-stream"), chunks(asked)[0].encode(), "flood", unit]


def stream_drip(dice: random.Random, _: Asked) -> list[Step]:
    unit = dice.choice([b":\n\n", event({"choices": [{"index": 0, "delta": {"content": "x"}}]}).encode()])
    steps: list[Step] = [head(200, [("connection", "close")], kind="text/event-stream")]
    for _time in range(200):
        steps += [0.3, unit]
    return steps


def stream_after(_: random.Random, asked: Asked) -> list[Step]:
    """The end has come, and bytes follow without end."""
    return [*stream([*chunks(asked), "data: [DONE]\n\n"])[:2], "flood", b": more\n\n" * 2_000]


def stream_bomb(dice: random.Random, _: Asked) -> list[Step]:
    coding = dice.choice(["gzip", "deflate"])
    return whole(bomb(dice.choice([64, 1_024]), coding), 200, [("content-encoding", coding)], kind="text/event-stream")
