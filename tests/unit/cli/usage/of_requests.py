"""Wrong usages of `submit` and `cancel`: arguments, files and standard input."""

import json
from typing import Any

from tests.unit.cli.usage.row import AWAY, NOWHERE, Row

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
SOUND = json.dumps({"id": "lead-1", "body": BODY})
UNTIL = "2999-01-01T00:00:00Z"


def _line(said: str, **fields: Any) -> Row:
    """A file whose second line has these fields; null takes one away."""
    told = {name: value for name, value in ({"id": "lead-2", "body": BODY} | fields).items() if value is not None}
    return _file(f"Line 2 of leads.jsonl: {said}", f"{SOUND}\n{json.dumps(told)}\n")


def _file(said: str, content: str | bytes, *, sentences: int = 1) -> Row:
    return Row("submit leads.jsonl", said, files={"leads.jsonl": content}, sentences=sentences)


_FIELDS = (
    _line(r"There is no field deadine: did you mean deadline\?", deadine=UNTIL),
    _line(r"There is no field endpoit: did you mean endpoint\?", endpoit="responses"),
    _line(r"There is no field lnae: did you mean lane\?", lnae="urgent"),
    _line(r"There is no field colour, only id, body, endpoint, tenant, .* and metadata\.", colour="red"),
    _line(r"The field messages belongs in body, beside model: move it there\.", messages=[]),
    _line(r"A line cannot carry the field ordering_key: use .*ordering_key=…\)`\.", ordering_key="k"),
    _line(r"body\.model must name a model\.", body={"messages": []}),
    _line(r"body\.model must name a model\.", body={"model": 7}),
    _line(r"body\.model must name a model\.", body={"model": ""}),
    _line(r"The field body is missing\.", body=None),
    _line(r"The field body is not valid: it must be a JSON object, not text: leave out the quotes around it\.",
          body=json.dumps(BODY)),
    _line(r"The field body is not valid: it must be a JSON object, not a list\.", body=[BODY]),
    _line(r"The field body is not valid: the body must not contain timeout: a producer sets no .*\.",
          body=BODY | {"timeout": 5}),
    _line(r"The request is not valid: streaming is asked for by the top-level stream, .*\.",
          body=BODY | {"stream": True}),
    _line(r"body\.background must not be set: .*\.", endpoint="responses", body=BODY | {"background": True}),
    _line(r"The field id is not valid: it must be text, not a number: put it in quotes\.", id=7),
    _line(r"The field id is not valid: an id is 1 to 128 printable ASCII characters\.", id="M\u00fcller"),
    _line(r"The field id is not valid: an id is 1 to 128 printable ASCII characters\.", id="x" * 129),
    _line(r"The field endpoint is not valid: it must be chat\.completions, responses or embeddings "
          r"\(did you mean chat\.completions\?\)\.", endpoint="/v1/chat/completions"),
    _line(r"The field endpoint is not valid: it must be chat\.completions, responses or embeddings\.",
          endpoint="images"),
    _line(r"The field deadline is not valid: 2020-01-01T00:00:00\.000Z has passed \(it is .*\)\, so name a later time, "
          r"or leave it out\.", deadline="2020-01-01T00:00:00Z"),
    _line(r"The field deadline is not valid: a time is ISO 8601 with a time zone, like .*\.", deadline="tomorrow"),
    _line(r"The field deadline is not valid: a time is a text like .*\.", deadline=1_800_000_000),
    _line(r"The field stream is not valid: it must be true or false, not text\.", stream="yes"),
    _line(r"The field metadata is not valid: it must be a JSON object, not a list\.", metadata=[]),
    _line(r"The field tenant is not valid: it must be text, not a number: put it in quotes\.", tenant=5),
    _line(r"The field reply_to is not valid: it must be 1 to 249 letters, digits, dots, - and _\.",
          reply_to="no topic!"),
    _line(r"The field lane is not valid: it must be text, not a number\.", lane=1),
    _line(r"There is no lane a b: a lane's name is 1 to 32 lower-case letters, digits, - and _\.", lane="a b"),
    _line(r"The field method is not valid: it must be POST, not GET\.", id=None, custom_id="r", method="GET",
          url="/v1/responses"),
    _line(r"The field url is not valid: it must be .* or /v1/embeddings \(did you mean /v1/chat/completions\?\)\.",
          id=None, custom_id="r", method="POST", url="/v1/completions"),
    _line(r"It has both custom_id, of OpenAI's Batch format, and id, of Headrace's: leave one out\.", custom_id="r",
          url="/v1/responses"),
    _line(r"It has custom_id, of OpenAI's Batch format, but no url: add it, or write .* instead\.",
          id=None, custom_id="r"),
    _line(r"It is from the output of a Batch and holds an answer: submit the lines of the input file\.",
          custom_id="r", response={}),
)  # fmt: skip

_FORMS = (
    _file(r"leads\.jsonl is empty: it needs one JSON object per line\.", ""),
    _file(r"leads\.jsonl is empty: it needs one JSON object per line\.", "\n \n"),
    _file(r"leads\.jsonl is empty: it needs one JSON object per line\.", b"\xef\xbb\xbf\r\n"),
    _file(r"leads\.jsonl is a JSON array: `jq -c '\.\[\]'` writes one object per line\.", f"[{SOUND}]"),
    _file(r"leads\.jsonl holds an object that spans several lines: `jq -c \.` writes one object per line\.",
          json.dumps(json.loads(SOUND), indent=2)),
    _file(r"leads\.jsonl is UTF-16, not UTF-8: `iconv -f UTF-16 -t UTF-8` converts it\.", SOUND.encode("utf-16")),
    _file(r"leads\.jsonl is compressed: unpack it first \(`gunzip`\)\.", b"\x1f\x8b\x08\x00\x00"),
    _file(r"Line 1 of leads\.jsonl, column 10: It is not UTF-8 but perhaps Latin-1: `iconv .*` converts a file\.",
          '{"id": "M\u00fcller"}'.encode("latin-1")),
    _file(r"Line 1 of leads\.jsonl: The key id occurs twice in one object: leave one of them out\.",
          '{"id": "a", "id": "b", "body": {"model": "m"}}'),
    _file(r"Line 1 of leads\.jsonl, column 35: It is not JSON: a key in double quotes is missing here\.",
          '{"id": "a", "body": {"model": "m",}}'),
    _file(r"Line 1 of leads\.jsonl, column 2: It is not JSON: it looks like Python: .*\.", "{'id': 'a'}"),
    _file(r"Line 1 of leads\.jsonl, column 29: It is not JSON: the line ends inside the object, .*\.",
          '{"id": "a", "body": {"x": 1}\n'),
    _file(r"Line 1 of leads\.jsonl: It is not JSON: JSON has no NaN, write null\.", '{"id": NaN}'),
    _file(r"Line 1 of leads\.jsonl: It is nested too deeply: flatten it\.", '{"a":' * 50_000),
    _file(r"Line 1 of leads\.jsonl: It is a number, not a JSON object\.", "5\n"),
    _file(r"Line 1 of leads\.jsonl: The value has 1000\d+ bytes; 900000 are allowed\.",
          json.dumps({"id": "a", "body": {"model": "m", "x": "x" * 1_000_000}})),
    _file(r"Line 1 of leads\.jsonl, column 1: It is not JSON: .*\.\nLine 3 of leads\.jsonl: There is no field "
          r".*\?\n2 of 3 lines are invalid: nothing was sent\.", f'id,body\n{SOUND}\n{{"deadine": 1}}\n', sentences=3),
    _file(r"(?:Line \d+ of leads\.jsonl, column 1: It is not JSON: .*\.\n){20}25 of 25 lines are invalid, of which "
          r"5 are not shown: nothing was sent\.", "x\n" * 25, sentences=21),
)  # fmt: skip

_OK = {"leads.jsonl": SOUND}
_ARGUMENTS = (
    Row("submit", r"FILE\|- is missing: see `headrace submit -h`\."),
    Row("submit a b", r"b is one argument too many: see `headrace submit -h`\."),
    Row("submit gone.jsonl", r"gone\.jsonl cannot be read: No such file or directory\."),
    Row("submit {dir}", r".* cannot be read: Is a directory\."),
    Row("submit leads.jsonl --lan bulk", r"There is no option --lan: did you mean --lane\?", files=_OK),
    Row("submit leads.jsonl --lane 'a b'", r"Line 1 of leads\.jsonl: There is no lane a b: .*\.", files=_OK),
    Row("submit leads.jsonl --api-key=sk-Zq9-hush", r"There is no option --api-key: see `headrace submit -h`\.",
        files=_OK),
    Row("submit leads.jsonl --timeout abc", r"--timeout must be a number, not abc\.", files=_OK),
    Row("submit leads.jsonl --timeout 0", r"--timeout must be at least 0\.1, not 0\.", files=_OK),
    Row("submit leads.jsonl --timeout", r"--timeout needs a value\.", files=_OK),
    Row("submit leads.jsonl --wait=yes", r"--wait takes no value\.", files=_OK),
    Row("submit leads.jsonl --config gone.toml", r"the settings file gone\.toml cannot be read: .*\.", files=_OK),
    Row(f"submit leads.jsonl {NOWHERE} --timeout 0.1", r"No Kafka listens at 127\.0\.0\.1:1: start it, or .*\.",
        files=_OK, code=AWAY),
    Row(f"submit - {NOWHERE} --timeout 0.1", r"No Kafka listens at 127\.0\.0\.1:1: .*\.",
        stdin=b"nonsense\n", code=AWAY),
    Row("cancel", r"ID\|- is missing: see `headrace cancel -h`\."),
    Row("cancel M\u00fcller", r"'M\u00fcller' is not an id: an id is 1 to 128 printable ASCII characters\."),
    Row("cancel lead-1 --tenant ''", r"A tenant has 1 to 256 characters; leave it out to mean any\."),
    Row("cancel lead-1 --tmeout 3", r"There is no option --tmeout: did you mean --timeout\?"),
    Row("cancel lead-1 --wait-timeout -5", r"--wait-timeout must be at least 0\.1, not -5\."),
    Row("submit leads.jsonl --wait-timeout nan", r"--wait-timeout must be at least 0\.1, not nan\.", files=_OK),
    Row("cancel lead-1 --wait-timeout soon", r"--wait-timeout must be a number, not soon\."),
    Row("cancel -", r"'.*' is not an id: an id is 1 to 128 printable ASCII characters\.", stdin=b"x" * 200 + b"\n"),
    Row(f"cancel lead-1 {NOWHERE} --timeout 0.1", r"No Kafka listens at 127\.0\.0\.1:1: .*\.", code=AWAY),
)  # fmt: skip

ROWS = (*_FIELDS, *_FORMS, *_ARGUMENTS)
