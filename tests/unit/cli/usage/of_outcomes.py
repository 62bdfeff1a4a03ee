"""Wrong usages of `results`, `dead-letters`, `status` and `explain`."""

from tests.unit.cli.usage.row import AWAY, NOWHERE, Row

_TIME = r"a span such as 15m or 2h, or 2026-12-01T09:00:00Z\."

ROWS = (
    Row("results --from yesterday", rf"yesterday is no time: use earliest, latest, {_TIME}"),
    Row("results --folow", r"There is no option --folow: did you mean --follow\?"),
    Row("results generation.results", r"generation\.results is more than this verb takes: see `headrace results -h`\."),
    Row("results --timeout x", r"--timeout must be a number, not x\."),
    Row("results --topic", r"--topic needs a value\."),
    Row(f"results {NOWHERE} --timeout 0.1", r"No Kafka listens at 127\.0\.0\.1:1: start it, or .*\.", code=AWAY),
    Row("dead-letters lst", r"There is no verb lst, only replay, list and show: did you mean list\?"),
    Row("dead-letters list --reason nosuch", r"There is no reason nosuch, only invalid_request, rejected, .*\."),
    Row("dead-letters list --reason rejectd", r"There is no reason rejectd, only .*: did you mean rejected\?"),
    Row("dead-letters list --since soon", rf"soon is no time: use {_TIME}"),
    Row("dead-letters list --limit -1", r"--limit must be at least 0, not -1\."),
    Row("dead-letters list --modle gpt-4o", r"There is no option --modle: did you mean --model\?"),
    Row("dead-letters show", r"ORIGIN\|ID is missing: see `headrace dead-letters show -h`\."),
    Row("dead-letters replay",
        r"That is every dead letter there is: say which \(.*\), or --yes; --dry-run counts them\."),
    Row("dead-letters replay --reason nosuch", r"There is no reason nosuch, only .*\."),
    Row("dead-letters replay --yes --lane urgnt",
        r"There is no lane urgnt, only urgent, standard and bulk: did you mean urgent\?"),
    Row("dead-letters replay --yes --rate fast", r"'fast' is no rate: use 50, 90/min or 1200/h\."),
    Row("dead-letters replay --yes --deadline 2020-01-01T00:00:00Z",
        r"The deadline has passed: all of them would fail again at once\."),
    Row("dead-letters replay --yes --limit 0", r"--limit must be at least 1, not 0\."),
    Row(f"dead-letters list {NOWHERE} --timeout 0.1", r"No Kafka listens at .*\.", code=AWAY),
    Row("status --run 1", r"--run belongs to --id: say which request is meant\."),
    Row("status --id M\u00fcller", r"'M\u00fcller' is no id: it has 1 to 128 characters of printable ASCII\."),
    Row("status --id lead-1 --run 70000", r"--run must be at most 65535, not 70000\."),
    Row("status --url http://127.0.0.1:1 --timeout 0.1", r"127\.0\.0\.1:1 cannot be asked: nothing listens there\.",
        code=AWAY),
    Row("status --jsn", r"There is no option --jsn: did you mean --json\?"),
    Row("status lead-1", r"lead-1 is more than this verb takes: see `headrace status -h`\."),
    Row("explain gone.txt", r"gone\.txt cannot be read: No such file or directory\."),
    Row("explain {dir}", r".* cannot be read: Is a directory\."),
    Row("explain a b", r"b is more than this verb takes: see `headrace explain -h`\."),
    Row("explain --jsn", r"There is no option --jsn: did you mean --json\?"),
    Row("explain -", r"Nothing to explain: the input is empty\.", code=0),
)  # fmt: skip
