"""Answers drawn by seed, and the events in which OpenAI streams them; shares no code with the gateway."""

import random
from collections.abc import Iterator
from typing import Any

WORDS = ["Dear ", "Ada, ", "näher ", "👋 ", "{", '"a"', ": 1}", "\n\n", "the ", "end. ", "日本 ", "\\", "\u2028"]


class Drawn:
    """A source of answers; equal seeds draw equal ones."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._number = 0

    def text(self, words_max: int = 12) -> str:
        return "".join(self.dice.choices(WORDS, k=self.dice.randint(1, words_max)))

    def name(self, kind: str) -> str:
        self._number += 1
        return f"{kind}_{self._number}_{self.dice.randrange(10**9)}"

    def pieces(self, text: str) -> Iterator[str]:
        while text:
            size = self.dice.randint(1, 9)
            yield text[:size]
            text = text[size:]

    def logprobs(self, count: int) -> list[dict[str, Any]]:
        return [
            {"token": self.text(1), "logprob": -self.dice.random(), "bytes": [1, 2], "top_logprobs": []}
            for _ in range(count)
        ]

    # ------------------------------------------------------------------ chat completions

    def chat(self) -> dict[str, Any]:
        choices = [self._choice(index) for index in range(self.dice.choice([1, 1, 1, 2, 3]))]
        return {
            "id": self.name("chatcmpl"),
            "object": "chat.completion",
            "created": 1_790_000_000 + self.dice.randrange(1_000),
            "model": "gpt-4o-mini-2024-07-18",
            "choices": choices,
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            "service_tier": self.dice.choice(["default", "flex"]),
            "system_fingerprint": self.dice.choice([None, "fp_1"]),
        }

    def _choice(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        kind = self.dice.choice(["text", "text", "tools", "both", "refusal", "function", "reasoning", "empty"])
        logprobs, finish = None, "stop"
        if kind in {"text", "both", "reasoning"}:
            message["content"] = self.text()
        if kind == "empty":
            message["content"] = ""
        if kind == "text" and self.dice.random() < 0.4:
            logprobs = {"content": self.logprobs(self.dice.randint(1, 9)), "refusal": None}
        if kind == "refusal":
            message["refusal"] = self.text()
        if kind == "reasoning":
            message["reasoning_content"] = self.text()
        if kind in {"tools", "both"}:
            message["tool_calls"], finish = [self._call() for _ in range(self.dice.randint(1, 3))], "tool_calls"
        if kind == "function":
            message["function_call"], finish = {"name": "find", "arguments": self.text()}, "function_call"
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}

    def _call(self) -> dict[str, Any]:
        function = {"name": self.name("f"), "arguments": self.dice.choice(["", self.text()])}
        return {"id": self.name("call"), "type": "function", "function": function}

    def chat_events(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return OpenAI's chunks; several choices take turns at random."""
        head = {name: answer[name] for name in ("id", "created", "model", "service_tier", "system_fingerprint")}
        head["object"] = "chat.completion.chunk"
        waiting = [list(self._choice_events(choice)) for choice in answer["choices"]]
        events = [{**head, "choices": [each.pop(0)], "usage": None} for each in waiting]
        while any(waiting):
            at = self.dice.choice([number for number, each in enumerate(waiting) if each])
            events.append({**head, "choices": [waiting[at].pop(0)], "usage": None})
        return [*events, {**head, "choices": [], "usage": answer["usage"]}]

    def _choice_events(self, choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
        message, logprobs = choice["message"], choice["logprobs"]
        waiting = list((logprobs or {}).get("content") or [])

        def event(delta: dict[str, Any], finish: str | None = None, *, last: bool = False) -> dict[str, Any]:
            count = len(waiting) if last else self.dice.randint(0, min(2, len(waiting)))
            taken = [waiting.pop(0) for _ in range(count)]
            told = {"content": taken, "refusal": None} if taken else None
            return {"index": choice["index"], "delta": delta, "logprobs": told, "finish_reason": finish}

        yield event({"role": "assistant", "content": "" if message["content"] is not None else None})
        for name in ("reasoning_content", "content", "refusal"):
            for piece in self.pieces(message.get(name) or ""):
                yield event({name: piece})
        if "function_call" in message:
            yield event({"function_call": {"name": message["function_call"]["name"], "arguments": ""}})
            for piece in self.pieces(message["function_call"]["arguments"]):
                yield event({"function_call": {"arguments": piece}})
        for number, call in enumerate(message.get("tool_calls", [])):
            function = {"name": call["function"]["name"], "arguments": ""}
            yield event({"tool_calls": [{"index": number, **call, "function": function}]})
            for piece in self.pieces(call["function"]["arguments"]):
                yield event({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        yield event({}, choice["finish_reason"], last=True)

    # ------------------------------------------------------------------ responses

    def response(self) -> dict[str, Any]:
        makers = [self._reasoning, self._message, self._function, self._custom, self._search, self._code]
        items = [self._message()]
        for _ in range(self.dice.randint(0, 3)):
            items.insert(self.dice.randrange(len(items) + 1), self.dice.choice(makers)())
        status = self.dice.choice(["completed", "completed", "incomplete"])
        return {
            "id": self.name("resp"),
            "object": "response",
            "created_at": 1_790_000_000,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "metadata": {},
            "model": "gpt-4.1-2025-04-14",
            "output": items,
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": {
                "input_tokens": 3,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 4,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 7,
            },
        }

    def _reasoning(self) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": self.text()} for _ in range(self.dice.randint(0, 2))]
        item: dict[str, Any] = {"id": self.name("rs"), "type": "reasoning", "summary": summary}
        if self.dice.random() < 0.3:
            item["content"] = [{"type": "reasoning_text", "text": self.text()}]
        if self.dice.random() < 0.3:
            item["encrypted_content"] = self.text()
        return item

    def _message(self) -> dict[str, Any]:
        parts = [self._part() for _ in range(self.dice.choice([0, 1, 1, 1, 2]))]
        return {
            "id": self.name("msg"),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": parts,
        }

    def _part(self) -> dict[str, Any]:
        if self.dice.random() < 0.2:
            return {"type": "refusal", "refusal": self.text()}
        annotations = [
            {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "https://a", "title": "A"}
            for _ in range(self.dice.choice([0, 0, 1, 2]))
        ]
        logprobs = self.logprobs(self.dice.choice([0, 3, 6]))
        text = self.dice.choice(["", self.text(), self.text(), self.text()])
        return {"type": "output_text", "annotations": annotations, "logprobs": logprobs, "text": text}

    def _function(self) -> dict[str, Any]:
        return {
            "id": self.name("fc"),
            "type": "function_call",
            "status": "completed",
            "call_id": self.name("call"),
            "name": "find",
            "arguments": self.dice.choice(["", self.text()]),
        }

    def _custom(self) -> dict[str, Any]:
        name = self.name("ctc")
        return {
            "id": name,
            "type": "custom_tool_call",
            "call_id": self.name("call"),
            "name": "sh",
            "input": self.text(),
        }

    def _search(self) -> dict[str, Any]:
        action = {"type": "search", "query": self.text(), "queries": ["x"]}
        return {"id": self.name("ws"), "type": "web_search_call", "status": "completed", "action": action}

    def _code(self) -> dict[str, Any]:
        return {
            "id": self.name("ci"),
            "type": "code_interpreter_call",
            "status": "completed",
            "container_id": "cntr_1",
            "code": self.text(),
            "outputs": None,
        }

    def response_events(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return OpenAI's events, one item after the other."""
        begun = {**answer, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        events = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
        for at, item in enumerate(answer["output"]):
            events += self._item_events(at, item)
        events.append({"type": f"response.{answer['status']}", "response": answer})
        return [{**event, "sequence_number": number} for number, event in enumerate(events)]

    def _item_events(self, at: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
        emptied = {"content": [], "summary": [], "arguments": "", "input": "", "code": ""}
        opened = {name: emptied.get(name, value) for name, value in item.items() if name != "action"}
        yield {"type": "response.output_item.added", "output_index": at, "item": opened}
        where = {"output_index": at, "item_id": item["id"]}
        own = {"function_call": "arguments", "custom_tool_call": "input", "code_interpreter_call": "code"}
        if item["type"] in own:
            kinds = {
                "function_call": "function_call_arguments",
                "custom_tool_call": "custom_tool_call_input",
                "code_interpreter_call": "code_interpreter_call_code",
            }
            name = kinds[item["type"]]
            for piece in self.pieces(item[own[item["type"]]]):
                yield {"type": f"response.{name}.delta", **where, "delta": piece}
            yield {"type": f"response.{name}.done", **where, own[item["type"]]: item[own[item["type"]]]}
        for place, part in enumerate(item.get("summary", ())):
            there = {**where, "summary_index": place}
            yield {"type": "response.reasoning_summary_part.added", **there, "part": {**part, "text": ""}}
            for piece in self.pieces(part["text"]):
                yield {"type": "response.reasoning_summary_text.delta", **there, "delta": piece}
        for place, part in enumerate(item.get("content", ())):
            yield from self._part_events({**where, "content_index": place}, part)
        yield {"type": "response.output_item.done", "output_index": at, "item": item}

    def _part_events(self, where: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        field = "refusal" if part["type"] == "refusal" else "text"
        yield {"type": "response.content_part.added", **where, "part": {**part, field: "", "annotations": []}}
        waiting = list(part.get("logprobs", ()))
        for piece in self.pieces(part[field]):
            told = {"type": f"response.{part['type']}.delta", **where, "delta": piece}
            if part["type"] == "output_text":
                told["logprobs"] = [waiting.pop(0) for _ in range(min(1, len(waiting)))]
            yield told
        yield {"type": "response.content_part.done", **where, "part": part}
