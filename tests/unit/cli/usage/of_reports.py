"""Wrong usages of `report`."""

from tests.unit.cli.usage.row import AWAY, NOWHERE, Row

_TIME = r"a span such as 15m or 2h, or 2026-12-01T09:00:00Z\."

ROWS = (
    Row("report --since yesterday", fr"yesterday is not a time: use {_TIME}"),
    Row("report --since 1h --until 2h", r"--since must be before --until: nothing lies between them\."),
    Row("report --by lane,tennant", r"--by: There is no dimension tennant, only lane, .*: did you mean tenant\?"),
    Row("report --by lane,lane", r"--by names a dimension twice: name each of them once\."),
    Row("report --by ''", r"--by: There is no dimension '', only lane, .*\."),
    Row("report --json --csv", r"--json and --csv exclude each other\."),
    Row("report --top -1", r"--top must be at least 0, not -1\."),
    Row("report --from ledger", r"--from must be results or totals, not ledger\."),
    Row("report --plot a.pdf", r"--plot writes a \.png or a \.svg, not 'a\.pdf'\."),
    Row("report --plot gone/a.png", r"--plot cannot write gone/a\.png: there is no directory gone\."),
    Row("report --dark", r"--dark is for a chart: name its file with --plot\."),
    Row("report --from totals --prices p.toml", r"--prices needs --from results: totals are sums, without the single "
        r"calls\."),
    Row("report --from totals --advice", r"--advice needs --from results: totals are sums, without the single calls\."),
    Row("report --csv --advice", r"--advice is for the table and for --json: leave --csv out\."),
    Row("report --show-prompts", r"--show-prompts is for --advice, which is not asked for\."),
    Row("report --lanes bulk", r"There is no option --lanes: did you mean --lane\?"),
    Row("report results", r"results is one argument too many: see `headrace report -h`\."),
    Row(f"report {NOWHERE} --timeout 0.3", r"No Kafka listens at 127\.0\.0\.1:1: .*", code=AWAY),
)  # fmt: skip
