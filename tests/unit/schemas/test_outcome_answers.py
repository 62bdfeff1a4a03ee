"""What a service takes out of an outcome: its text, a value of its own type, the SDK's type."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel, Field, TypeAdapter, field_validator

from headrace.broker.errors import AnswerUnusable, GenerationFailed, HeadraceError, OutcomeUnreadable, SdkMissing
from headrace.schemas.outcome import Completed, Failed, Finish

SECRET = "SECRET of the answer"


class Lead(BaseModel):
    name: str
    score: int = Field(le=10)

    @field_validator("name")
    @classmethod
    def _not_hidden(cls, name: str) -> str:
        if "SECRET" in name:
            raise ValueError(f"{name} is hidden")
        return name


@dataclass
class Pair:
    left: int
    right: int


def chat(content: Any = "Dear Ada", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": said}],
    }


def response(*items: dict[str, Any]) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": list(items)}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(parts)}


def said(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


ADA = '{"name": "Ada", "score": 7}'
VECTORS = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
TOOL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def completed(answer: dict[str, Any], finish: Finish | str | None = Finish.STOP, **more: Any) -> Completed:
    return Completed(id="lead-1", response=answer, finish=finish, **more)


@pytest.mark.parametrize(
    ("answer", "text", "refusal"),
    [
        (chat(), "Dear Ada", None),
        (
            chat([{"type": "text", "text": "Dear "}, {"type": "text", "text": "Ada"}, {"type": "image"}]),
            "Dear Ada",
            None,
        ),
        (chat(None, tool_calls=[TOOL]), "", None),
        (chat(None, refusal="No."), "", "No."),
        (chat("", refusal=""), "", None),
        ({"choices": []}, "", None),
        ({"choices": [None, {"message": 7}]}, "", None),
        (
            {
                "choices": [
                    {"index": 1, "message": {"content": "second"}},
                    {"index": 0, "message": {"content": "first"}},
                ]
            },
            "first",
            None,
        ),
        (response(message(said("Dear "), said("Ada")), {"type": "reasoning", "content": None}), "Dear Ada", None),
        (response({"type": "function_call", "name": "look", "arguments": "{}"}), "", None),
        (response(message({"type": "refusal", "refusal": "No."})), "", "No."),
        (response(), "", None),
        ({"output": [7, {"content": [None, {"type": "output_text", "text": 7}]}]}, "", None),
    ],
)
def test_the_text_is_what_the_model_wrote_and_nothing_else(
    answer: dict[str, Any], text: str, refusal: str | None
) -> None:
    outcome = completed(answer)
    assert (outcome.text, outcome.refusal) == (text, refusal)


def test_an_answer_of_vectors_has_no_text_and_says_so() -> None:
    with pytest.raises(
        AnswerUnusable, match="lead-1: the answer of an endpoint without text, such as embeddings"
    ) as raised:
        completed(VECTORS, None).text  # noqa: B018  # it raises
    assert raised.value.reason == "no_text"
    assert completed(VECTORS, None).refusal is None


@pytest.mark.parametrize(
    "answer", [chat('{"name": "Ada", "score": 7}'), response(message(said('{"name":"Ada","score":7}')))]
)
@pytest.mark.parametrize("finish", [Finish.STOP, None, "of a later release"])
def test_an_answer_that_fits_is_a_value_of_the_services_type(answer: dict[str, Any], finish: Finish | None) -> None:
    assert completed(answer, finish).parsed(Lead) == Lead(name="Ada", score=7)


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ('{"left": 1, "right": 2}', Pair, Pair(1, 2)),
        ("[1, 2]", list[int], [1, 2]),
        ('{"a": 1}', dict[str, int], {"a": 1}),
        ("7", TypeAdapter(Annotated[int, Field(gt=6)]), 7),
        ("7", Annotated[int, Field(gt=6), ["cannot be hashed"]], 7),
        ('{"name": "Ada", "score": 7}', Lead | Pair, Lead(name="Ada", score=7)),
    ],
)
def test_whatever_a_type_adapter_takes_may_be_asked_for(text: str, wanted: Any, value: Any) -> None:
    assert completed(chat(text)).parsed(wanted) == value


@pytest.mark.parametrize(
    ("outcome", "reason", "words"),
    [
        (
            completed(chat(None, refusal="No."), Finish.REFUSAL),
            "refusal",
            "the model declined (outcome.refusal): change",
        ),
        (completed(chat(None, refusal="No."), None), "refusal", "the model declined"),
        (completed(response(message({"type": "refusal", "refusal": "No."})), Finish.REFUSAL), "refusal", "declined"),
        (completed(chat('{"name": "A'), Finish.LENGTH), "length", "cut off (finish: length): allow more output tokens"),
        (completed(chat('{"name": "A", "score": 1}'), Finish.LENGTH), "length", "use a new id"),
        (completed(chat("{}"), Finish.CONTENT_FILTER), "content_filter", "OpenAI's content filter left out a part"),
        (completed(chat(None, tool_calls=[TOOL]), Finish.TOOL_CALLS), "tool_calls", "the model called tools instead"),
        (completed(chat(None)), "empty", "the answer has no text"),
        (completed(VECTORS, None), "no_text", "an endpoint without text"),
        (completed(chat("Dear Ada")), "mismatch", "its text does not fit Lead: it is not JSON; ask for a structured"),
        (completed(chat('{"score": 70}')), "mismatch", "name (missing), score (less_than_equal); give the request the"),
        (completed(chat("[1]")), "mismatch", "the whole (model_type); give the request the schema of this type"),
    ],
)
def test_an_answer_that_is_not_of_the_form_asked_for_says_what_to_do(
    outcome: Completed, reason: str, words: str
) -> None:
    with pytest.raises(AnswerUnusable) as raised:
        outcome.parsed(Lead)
    assert raised.value.reason == reason
    assert raised.value.outcome is outcome
    assert words in str(raised.value)
    assert str(raised.value).startswith("lead-1: ")


def test_of_several_choices_the_first_is_taken_even_if_another_declined() -> None:
    assert completed(chat('{"name": "Ada", "score": 7}'), Finish.REFUSAL).parsed(Lead).name == "Ada"


@pytest.mark.parametrize("text", [SECRET, json.dumps({"name": SECRET, "score": SECRET}), json.dumps({SECRET: SECRET})])
def test_no_sentence_and_no_traceback_quotes_the_answer(text: str) -> None:
    with pytest.raises(AnswerUnusable) as raised:
        completed(chat(text)).parsed(Lead)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None  # a log of the traceback would quote it otherwise


def test_many_differences_are_named_in_part_and_counted() -> None:
    with pytest.raises(AnswerUnusable, match=r"list: 0 \(int_parsing\), 1 .*, 2 \(int_parsing\) and 2 more places"):
        completed(chat('["a", "b", "c", "d", "e"]')).parsed(list[int])


@pytest.mark.parametrize(
    ("answer", "endpoint", "kind"),
    [
        (chat(), "chat.completions", ChatCompletion),
        (chat(), None, ChatCompletion),
        (response(message(said("Dear Ada"))), "responses", Response),
        (response(), None, Response),
        (VECTORS, "embeddings", CreateEmbeddingResponse),
        (VECTORS, None, CreateEmbeddingResponse),
    ],
)
def test_as_openai_gives_what_the_sdk_itself_would_have_given(
    answer: dict[str, Any], endpoint: str | None, kind: type[BaseModel]
) -> None:
    given = completed(answer, endpoint=endpoint).as_openai()
    assert type(given) is kind
    assert given.model_dump(exclude_unset=True) == answer


def test_nested_members_are_the_sdks_types_too() -> None:
    given = completed(chat(None, tool_calls=[TOOL])).as_openai()
    assert given.choices[0].message.tool_calls[0].function.name == "look"
    assert completed(response(message(said("Dear Ada")))).as_openai().output_text == "Dear Ada"


def test_what_the_sdk_does_not_know_is_kept() -> None:
    given = completed({**chat(), "of_tomorrow": 7}).as_openai()
    assert given.of_tomorrow == 7


def test_an_endpoint_of_a_later_release_has_no_type_here() -> None:
    with pytest.raises(AnswerUnusable, match=r"the endpoint images is not known here: take outcome\.response"):
        completed({"images": []}, endpoint="images").as_openai()


def without_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "openai" or name.startswith("openai.")]:
        monkeypatch.delitem(sys.modules, name)


def test_without_the_sdk_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without_openai(monkeypatch)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(SdkMissing, match="is not installed here: install it beside headrace") as raised:
        completed(response()).as_openai()
    assert isinstance(raised.value, HeadraceError)


def test_with_an_sdk_before_responses_the_error_says_which_one_has_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_openai(monkeypatch)
    (tmp_path / "openai" / "types").mkdir(parents=True)
    (tmp_path / "openai" / "__init__.py").write_text("__version__ = '1.30.0'")
    (tmp_path / "openai" / "types" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SdkMissing, match=r"openai 1\.30\.0 lacks the type of this answer: responses need 1\.66"):
        completed(response()).as_openai()


def test_a_failed_outcome_raises_itself_wherever_an_answer_is_asked_of_it() -> None:
    failed = Failed(id="lead-1", reason="rejected", message="No.")
    for asked in ("text", "refusal", "parsed", "as_openai"):
        with pytest.raises(GenerationFailed, match=r"lead-1 failed \(rejected\): No\.") as raised:
            getattr(failed, asked)(*[Lead][: asked == "parsed"])
        assert raised.value.outcome is failed


def test_an_unreadable_outcome_raises_that_it_is() -> None:
    with pytest.raises(OutcomeUnreadable):
        Failed(id="lead-1", reason="unreadable", message="It is in the results topic.").text  # noqa: B018  # it raises


@pytest.mark.parametrize("kind", [Completed, Failed])
@pytest.mark.parametrize("name", ["text", "refusal", "parsed", "as_openai"])
def test_a_field_of_a_later_release_with_such_a_name_is_kept_and_hides_nothing(
    kind: type[Completed | Failed], name: str
) -> None:
    stored = {"id": "a", name: {"of": "tomorrow"}, "reason": "rejected"}
    stored |= {"response": chat()} if kind is Completed else {}
    read = kind.model_validate(stored)
    assert json.loads(read.model_dump_json())[name] == {"of": "tomorrow"}
    if isinstance(read, Completed):
        assert (read.text, read.refusal, read.as_openai().id) == ("Dear Ada", None, "chatcmpl-1")
    else:
        with pytest.raises(GenerationFailed):
            read.text  # noqa: B018  # it raises


@pytest.mark.parametrize("kind", [Completed, Failed])
def test_no_stored_field_is_added(kind: type[BaseModel]) -> None:
    assert (
        not {"text", "refusal", "parsed", "as_openai"}
        & kind.model_json_schema(mode="serialization")["properties"].keys()
    )


@pytest.mark.slow
def test_text_and_parsed_load_nothing_of_openai() -> None:
    program = (
        "import sys; from headrace import Completed; "
        "done = Completed(id='a', response={'choices': [{'message': {'content': '[1]'}}]}); "
        "assert (done.text, done.parsed(list[int])) == ('[1]', [1]); "
        "sys.exit(any(name.partition('.')[0] == 'openai' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
