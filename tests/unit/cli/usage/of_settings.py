"""Wrong usages of `config`, `topics`, `simulate` and `schemas`, wrong settings, and no verb at all."""

from tests.unit.cli.usage.row import AWAY, NOWHERE, Row


def _settings(said: str, toml: str) -> Row:
    """A settings file that `config check` finds one mistake in."""
    return Row(
        "config check c.toml",
        rf"mistake  {said}\n1 mistake: no process starts with these settings\.",
        files={"c.toml": toml},
        sentences=2,
    )


def _variable(said: str, name: str, value: str) -> Row:
    return Row("submit x", said, environ={name: value})


ROWS = (
    _settings(r"lanes\.urgnet \(from c\.toml:2\) is a new lane without an order: .* \(did you mean urgent\?\)\.",
              "[lanes.urgnet]\nfloor = 0.1\n"),
    _settings(r"The lanes bulk and urgent both have order 1: give every lane its own \(from c\.toml:2\)\.",
              "[lanes.bulk]\norder = 1\n"),
    _settings(r"kafak \(from c\.toml:2\) is not a setting: the nearest is kafka\.", "[kafak]\nx = 1\n"),
    _settings(r"dispatcher\.http_port = 70000 \(from c\.toml:2\) must be at most 65535\.",
              "[dispatcher]\nhttp_port = 70000\n"),
    _settings(r"kafka: ca_file has no effect while .* is PLAINTEXT: set that to SSL \(from c\.toml:2\)\.",
              '[kafka]\nca_file = "ca.pem"\n'),
    _variable(r"kafka: ca_file has no effect while security_protocol is PLAINTEXT: set that to SSL \(from .*\)",
              "HEADRACE_KAFKA__CA_FILE", "ca.pem"),
    _settings(r"The settings file c\.toml is not TOML: .*\.", "[kafka\n"),
    Row("config check gone.toml", r"mistake  The settings file gone\.toml cannot be read: .*\.\n1 mistake: .*\.",
        sentences=2),
    Row("config check a.toml --config b.toml",
        r"The settings file is given twice, as a\.toml and as --config b\.toml: leave one out\."),
    Row("config chek", r"There is no verb chek, only show and check: did you mean check\?"),
    Row("config show {dir}", r"the settings file .* cannot be read: Is a directory\."),
    Row("config show --chnged", r"There is no option --chnged: did you mean --changed\?"),
    _variable(r"the environment variable HEADRACE_KAFKA_BOOTSTRAP_SERVERS is not a setting: the nearest is "
            r"HEADRACE_KAFKA__BOOTSTRAP_SERVERS\.", "HEADRACE_KAFKA_BOOTSTRAP_SERVERS", "a:1"),
    _variable(r"the environment variable HEADRACE_KAFAK__TOPIC_PREFIX is not a setting: the nearest is "
            r"HEADRACE_KAFKA__TOPIC_PREFIX\.", "HEADRACE_KAFAK__TOPIC_PREFIX", "eu"),
    _variable(r"lanes\.urgnt \(from the environment variable HEADRACE_LANES__URGNT__FLOOR\) is a new lane .*\)",
              "HEADRACE_LANES__URGNT__FLOOR", "0.1"),
    _variable(r"kafka\.bootstrap_servers \(from the environment variable .*\) has 'kafka' instead of host:port.*\.",
              "HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "kafka"),
    _variable(r"the settings file gone\.toml cannot be read: No such file or directory\.", "HEADRACE_CONFIG",
              "gone.toml"),
    Row("topics creat", r"There is no verb creat, only create and check: did you mean create\?"),
    Row("topics create --timeout 0", r"--timeout must be at least 0\.1, not 0\."),
    Row("topics check --config gone.toml", r"the settings file gone\.toml cannot be read: .*\."),
    Row("topics check --bootstrap-servers kafka",
        r"kafka\.bootstrap_servers \(from the flag --bootstrap-servers\) has 'kafka' instead of host:port\."),
    Row(f"topics create {NOWHERE} --timeout 0.1", r"No Kafka listens at 127\.0\.0\.1:1: start it, or .*\.", code=AWAY),
    Row("simulate", r"No workload is given: name a file, such as .*, or use --rate, such as --rate urgent=2/s\."),
    Row("simulate gone.toml", r"The workload gone\.toml cannot be read: No such file or directory\."),
    Row("simulate --rate urgnt=2/s", r"--rate urgnt=2/s: there is no lane 'urgnt'; did you mean 'urgent'\?"),
    Row("simulate --rate urgent=fast", r"--rate urgent=fast: 'fast' is not a rate: write 2/s, 90/min, .*\."),
    Row("simulate --rate urgent=2/s --tokens-per-minute 0", r"--tokens-per-minute must be at least 1, not 0\."),
    Row("simulate --rate urgent=2/s --plot plan.gif", r"--plot writes a \.png or a \.svg, not 'plan\.gif'\."),
    Row("schemas exprt", r"There is no verb exprt, only export: did you mean export\?"),
    Row("schemas export", r"DIR is missing: see `headrace schemas export -h`\."),
    Row("schemas export leads.jsonl", r"DIR must be a directory, and leads\.jsonl is a file\.",
        files={"leads.jsonl": ""}),
    Row("schemas export /proc/nowhere", r"/proc/nowhere cannot be written: No such file or directory\."),
    Row("submitt leads.jsonl", r"There is no verb submitt, only demo, .* and upstream: did you mean submit\?"),
    Row("--versoin", r"There is no option --versoin: did you mean --version\?", by_process=True),
    Row("frobnicate", r"There is no verb frobnicate, only demo, .* and upstream\.", by_process=True),
    Row("-x", r"There is no option -x: see `headrace -h`\."),
)  # fmt: skip
