"""Wrong usages of `dispatcher`, `retrier`, `upstream`, `demo` and `local`."""

from tests.unit.cli.usage.row import Row

_LAWS = r"--law must be chat-2025, chat-legacy, documented or usage, not nosuch\."
_SETTINGS = r"the settings file gone\.toml cannot be read: No such file or directory\."

ROWS = (
    Row("dispatcher --config gone.toml", _SETTINGS),
    Row("dispatcher --from-start urgnt", r"There is no lane urgnt, only .*: did you mean urgent\?"),
    Row("dispatcher --prefx eu", r"There is no option --prefx: did you mean --prefix\?"),
    Row("dispatcher urgent", r"urgent is one argument too many: see `headrace dispatcher -h`\."),
    Row("dispatcher", r"No OpenAI key: set OPENAI_API_KEY, or openai\.api_key_file to a file that holds it\.",
        environ={"OPENAI_API_KEY": ""}),
    Row("dispatcher --config c.toml", r"kafka\.topic_prefx \(from c\.toml:2\) is not a setting: the nearest is "
            r"kafka\.topic_prefix\.", files={"c.toml": '[kafka]\ntopic_prefx = "eu"\n'}),
    Row("dispatcher", r"costs\.provider 'opanai' is no provider of the price list \(genai-prices .*\): the nearest is "
        r"openai\.", environ={"OPENAI_API_KEY": "sk-x", "HEADRACE_COSTS__PROVIDER": "opanai"}),
    Row("dispatcher", r"p\.toml: models\.x states output without input: give that price too\.",
        environ={"OPENAI_API_KEY": "sk-x", "HEADRACE_COSTS__PRICES_FILE": "p.toml"},
        files={"p.toml": "[models.x]\noutput = 1\n"}),
    Row("dispatcher --port 8082", r"There is no option --port: see `headrace dispatcher -h`\."),
    Row("dispatcher", r"the environment variable HEADRACE_DISPATCHER_HTTP_PORT is not a setting: the nearest is "
            r"HEADRACE_DISPATCHER__HTTP_PORT\.", environ={"HEADRACE_DISPATCHER_HTTP_PORT": "8082"}),
    Row("dispatcher", r"dispatcher\.port \(from the environment variable HEADRACE_DISPATCHER__PORT\) is not a "
            r"setting: the nearest is dispatcher\.http_port\.", environ={"HEADRACE_DISPATCHER__PORT": "8082"}),
    Row("dispatcher", r"dispatcher\.http_port = 'eighty' \(from .*\) must be a whole number\.",
        environ={"HEADRACE_DISPATCHER__HTTP_PORT": "eighty"}),
    Row("retrier", r"the environment variable HEADRACE_RETRIER_HTTP_PORT is not a setting: the nearest is "
            r"HEADRACE_RETRIER__HTTP_PORT\.", environ={"HEADRACE_RETRIER_HTTP_PORT": "8083"}),
    Row("retrier --config gone.toml", _SETTINGS),
    Row("retrier --from-start urgent", r"urgent is one argument too many: see `headrace retrier -h`\."),
    Row("retrier --conf c.toml", r"There is no option --conf: did you mean --config\?"),
    Row("retrier --prefix 'a b'",
        r"kafka\.topic_prefix = 'a b' \(from the flag --topic-prefix\) must be letters, .*\."),
    Row("upstream --port 70000", r"--port must be at most 65535, not 70000\."),
    Row("upstream --latency fast", r"These options are not valid: --latency is a number of seconds or .*\."),
    Row("upstream --law nosuch", _LAWS),
    Row("upstream --behaviour quantisd-1s",
        r"These options are not valid: there is no behaviour 'quantisd-1s'; did you mean 'quantised-1s'\?"),
    Row("upstream --behaviours gone.toml", r"These options are not valid: gone\.toml cannot be read \(.*\)\."),
    Row("upstream --error-rate 2", r"--error-rate must be at most 1\.0, not 2\."),
    Row("demo --leads 0", r"--leads must be at least 1, not 0\."),
    Row("demo --leads many", r"--leads must be a whole number, not many\."),
    Row("demo --law nosuch", _LAWS),
    Row("demo 60", r"60 is one argument too many: see `headrace demo -h`\."),
    Row("local upp", r"There is no verb upp, only up, down and status: did you mean up\?"),
    Row("local up --nodes 2", r"A local Kafka has 1 node or 3, not 2: three are the fewest that survive the loss of "
            r"one\."),
    Row("local up --nodes three", r"--nodes must be a whole number, not three\."),
    Row("local up --data leads.jsonl", r"--data must be a directory, and leads\.jsonl is a file\.",
        files={"leads.jsonl": ""}),
    Row("local status --jsn", r"There is no option --jsn: did you mean --json\?"),
)  # fmt: skip
