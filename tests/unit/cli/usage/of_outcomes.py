"""Wrong usages of `results`, `dead-letters`, `status` and `explain`."""

from tests.unit.cli.usage.row import Row

_TIME = r"a span such as 15m or 2h, or 2026-12-01T09:00:00Z\."

ROWS = (
    Row("results --from yesterday", fr"yesterday is not a time: use earliest, latest, {_TIME}"),
    Row("results --from 2026-12-01T09:00:00", fr"2026-12-01T09:00:00 is not a time: use earliest, latest, {_TIME}"),
    Row("results --config gone.toml", r"the settings file gone\.toml cannot be read: No such file or directory\."),
    Row("results --folow", r"There is no option --folow: did you mean --follow\?"),
    Row("results generation.results", r"generation\.results is one argument too many: see `headrace results -h`\."),
    Row("results --timeout x", r"--timeout must be a number, not x\."),
    Row("results --limit 99999999999999999999", r"--limit must be at most 1000000000, not 9{20}\."),
    Row("results --timeout nan", r"--timeout must be at least 0\.1, not nan\."),
    Row("results --topic", r"--topic needs a value\."),
    Row("dead-letters lst", r"There is no verb lst, only replay, list and show: did you mean list\?"),
    Row("dead-letters list --reason nosuch", r"There is no reason nosuch, only invalid_request, rejected, .*\."),
    Row("dead-letters list --reason rejectd", r"There is no reason rejectd, only .*: did you mean rejected\?"),
    Row("dead-letters list --since soon", fr"soon is not a time: use {_TIME}"),
    Row("dead-letters list --until 5", fr"5 is not a time: use {_TIME}"),
    Row("dead-letters list --limit -1", r"--limit must be at least 0, not -1\."),
    Row("dead-letters list --modle gpt-4o", r"There is no option --modle: did you mean --model\?"),
    Row("dead-letters show", r"ORIGIN\|ID is missing: see `headrace dead-letters show -h`\."),
    Row("dead-letters replay",
        r"Without a filter every dead letter would be put back: give .*, or confirm with --yes; --dry-run only "
        r"counts\."),
    Row("dead-letters replay --reason nosuch", r"There is no reason nosuch, only .*\."),
    Row("dead-letters replay --yes --lane urgnt",
        r"There is no lane urgnt, only urgent, standard and bulk: did you mean urgent\?"),
    Row("dead-letters replay --yes --rate fast", r"'fast' is not a rate: use 50, 90/min or 1200/h\."),
    Row("dead-letters replay --lane bulk", r"Without a filter every dead letter would be put back: give .*, or "
            r"confirm with --yes; .*\."),
    Row("dead-letters replay --yes --rate 0", r"'0' is not a rate: use 50, 90/min or 1200/h\."),
    Row("dead-letters replay --yes --deadline never", fr"never is not a time: use {_TIME}"),
    Row("dead-letters replay --yes --deadline 2020-01-01T00:00:00Z",
        r"The deadline has passed, so all would fail again at once: name a later one\."),
    Row("dead-letters replay --yes --limit 0", r"--limit must be at least 1, not 0\."),
    Row("status --run 1", r"--run needs --id: name the request\."),
    Row("status --id M\u00fcller", r"'M\u00fcller' is not an id: an id is 1 to 128 printable ASCII characters\."),
    Row("status --id lead-1 --run 70000", r"--run must be at most 65535, not 70000\."),
    Row("status --url ftp://host", r"--url takes an address such as http://dispatcher-0:8080\."),
    Row("status --jsn", r"There is no option --jsn: did you mean --json\?"),
    Row("status lead-1", r"lead-1 is one argument too many: see `headrace status -h`\."),
    Row("explain gone.txt", r"gone\.txt cannot be read: No such file or directory\."),
    Row("explain {dir}", r".* cannot be read: Is a directory\."),
    Row("explain a b", r"b is one argument too many: see `headrace explain -h`\."),
    Row("explain --jsn", r"There is no option --jsn: did you mean --json\?"),
    Row("explain -", r"Nothing to explain: the input is empty\.", code=0),
)  # fmt: skip
