"""Second part of the table of dialects: resellers of many models, engines that one runs oneself, and gateways.

The first part, with the whole table, is `headrace.broker.core.answers.dialect_table`.
"""

from typing import Final

from headrace.broker.core.answers.dialects import Dialect, Template, named
from headrace.broker.core.answers.meaning import Meaning
from headrace.broker.core.answers.numbers import INSTANT, SPAN
from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS

_COUNT: Final = "[0-9][0-9,]{0,24}"

_MOONSHOT: Final = Dialect(
    "Moonshot, SiliconFlow",
    codes={Meaning.OVERLOADED: "engine_overloaded", Meaning.AUTH: "invalid_authentication"},
    types={Meaning.OVERLOADED: "engine_overloaded_error"},
    throttles="rate_limit_reached_error",
    phrases={Meaning.RATE_LIMITED: (r"\breached (?:max )?(?:organization|project) \w{1,16}\b",)},
    broke=(r"your account [\w<> /-]{1,200} is suspended due to insufficient balance",),
    templates=(
        Template(rf"\borganization max (?P<unit>[RT]P[MD]): (?P<capacity>{_COUNT})", exact=True),
        Template(
            rf"\breached (?:organization|(?P<project>project)) (?P<unit>[RT]P[MD]) rate limit, "
            rf"current: (?P<used>{_COUNT}), limit: (?P<capacity>{_COUNT})"
        ),
        Template(rf"\bmax organization concurrency: (?P<capacity>{_COUNT})", metric="concurrent-requests"),
        Template(r"\b(?P<unit>[RT]P[MD]) limit reached\b"),
        Template(
            rf"\bmax_total_tokens \((?P<requested>{_COUNT})\) must be less than or equal to max_seq_len "
            rf"\((?P<capacity>{_COUNT})\)",
            metric="tokens",
        ),
    ),
)

_ZHIPU: Final = Dialect(
    "Zhipu, Qwen",
    codes={Meaning.QUOTA: "1113"},
    throttles="1302 1308",
    phrases={
        Meaning.OVERLOADED: (r"\brequest rate increased too quickly\b",),
        Meaning.RATE_LIMITED: (r"\ballocated quota exceeded\b",),
    },
    broke=("余额不足", "您的账户已欠费"),
)

_BEDROCK: Final = Dialect(
    "Amazon Bedrock",
    phrases={Meaning.RATE_LIMITED: (r"\btoo many tokens\b",)},
    templates=(
        Template(
            r"\bToo many (?P<metric>tokens|requests) per (?P<period>minute|day), please wait before trying again\b"
        ),
        Template(r"\bToo many (?P<metric>tokens|requests), please wait before trying again\b"),
    ),
)

_HUGGINGFACE: Final = Dialect("Hugging Face", broke=("you have exceeded your monthly included credits",))

_CLOUDFLARE: Final = Dialect(
    "Cloudflare Workers AI",
    phrases={Meaning.RATE_LIMITED: (r"\bused up your daily free allocation\b",)},
    templates=(
        Template(rf"\bused up your (?P<period>daily) free allocation of (?P<capacity>{_COUNT}) (?P<metric>neurons)\b"),
    ),
)

_COHERE: Final = Dialect(
    "Cohere",
    templates=(
        Template(
            rf"\bsize limit exceeded by [0-9]{{1,15}} tokens\..{{0,80}}? The limit for this model is "
            rf"(?P<capacity>{_COUNT}) tokens",
            metric="tokens",
        ),
    ),
)

_SCALEWAY: Final = Dialect(
    "Scaleway",
    types={Meaning.AUTH: "request_forbidden"},
    phrases={Meaning.RATE_LIMITED: (r"\bexceeded your current limit",)},
    templates=(
        Template(r"\bexceeded your current limit of (?P<metric>tokens|requests) per (?P<period>sec|min|hour|day)"),
    ),
)

_HUAWEI: Final = Dialect(
    "Huawei Cloud",
    templates=(
        Template(
            rf"\bover ratelimit,limit:(?P<capacity>{_COUNT}),time:1 (?P<period>second|minute|hour|day)\b",
            metric="requests",
            exact=True,
        ),
    ),
)

_DIGITALOCEAN: Final = Dialect(
    "DigitalOcean",
    buckets=(
        named("tokens", MINUTE_MS, "x-ratelimit-{}-tokens-per-minute"),
        named("tokens", DAY_MS, "x-ratelimit-{}-tokens-per-day"),
    ),
)

_FIREWORKS: Final = Dialect(
    "Fireworks",
    buckets=(
        named("prompt-tokens", MINUTE_MS, "x-ratelimit-{}-tokens-prompt"),
        named("generated-tokens", MINUTE_MS, "x-ratelimit-{}-tokens-generated"),
    ),
    phrases={Meaning.RATE_LIMITED: (r"\bexceeded your usage limits\b",)},
)

_OLLAMA: Final = Dialect(
    "Ollama",
    phrases={Meaning.RATE_LIMITED: (r"\busage limit\b",)},
    templates=(Template(r"\breached your (?P<period>hourly|daily|weekly) usage limit\b", metric="usage"),),
)

_ENGINES: Final = Dialect(
    "vLLM, SGLang, llama.cpp, Xinference",
    types={Meaning.OVERLOADED: "service_unavailable_error"},
    phrases={Meaning.OVERLOADED: (r"\brequest queue is full\b",)},
    misfits=(r"\(length [0-9]{1,15}\) is longer than the maximum model length of [0-9]{1,15}\b",),
    templates=(
        Template(
            rf"\(length (?P<requested>{_COUNT})\) is longer than the maximum model length of (?P<capacity>{_COUNT})\b",
            metric="tokens",
        ),
        Template(
            rf"\bThe input \((?P<requested>{_COUNT}) tokens\) is longer than the model's context length "
            rf"\((?P<capacity>{_COUNT}) tokens\)",
            metric="tokens",
        ),
        Template(
            rf"\bn_prompt_tokens: (?P<requested>{_COUNT})", (rf"\bn_ctx: (?P<capacity>{_COUNT})",), metric="tokens"
        ),
    ),
)

_LITELLM: Final = Dialect(
    "LiteLLM",
    buckets=tuple(
        named(f"{scope.replace('_', '-')}-{kind}", None, f"x-ratelimit-{scope}-{{}}-{kind}", shown_only=True)
        for scope in ("api_key", "key", "user", "team", "team_member", "end_user", "model_per_key")
        for kind in ("tokens", "requests")
    ),
    codes={Meaning.QUOTA: "budget_exceeded"},
    types={Meaning.QUOTA: "budget_exceeded"},
    broke=("ExceededBudget: ", "No deployments available - crossed budget", "Budget has been"),
    phrases={Meaning.RATE_LIMITED: (r"\bcrossed TPM\b",)},
    templates=(
        Template(
            rf"\bLimit type: (?P<metric>tokens|requests)\. Current limit: (?P<capacity>{_COUNT}), "
            rf"Remaining: (?P<left>{_COUNT})"
        ),
        Template(rf"\bcurrent (?P<unit>[rt]pm): (?P<used>{_COUNT}), [rt]pm limit: (?P<capacity>{_COUNT})", sized=True),
    ),
    waits=(rf"\bLimit resets at: (?P<at>{INSTANT})",),
)

_ANY: Final = Dialect(
    "any",
    buckets=(
        named("requests", None, "x-ratelimit-{}", shown_only=True),
        named("requests", None, "ratelimit-{}", shown_only=True),
    ),
    codes={Meaning.OVERLOADED: "no_capacity"},
    waits=(
        rf"\b(?:try again|retry(?:ing)?|wait|resets?) (?:(?:in|after|for|at least|about) ){{0,2}}(?P<span>{SPAN})",
        rf"\b(?:try again|retry|resets?) (?:after|at|on):? (?P<at>{INSTANT})",
    ),
    wait_fields="retry-after retry_after retryafter retry_after_seconds",
)

GATEWAYS: Final = (
    _MOONSHOT,
    _ZHIPU,
    _BEDROCK,
    _HUGGINGFACE,
    _CLOUDFLARE,
    _COHERE,
    _SCALEWAY,
    _HUAWEI,
    _DIGITALOCEAN,
    _FIREWORKS,
    _OLLAMA,
    _ENGINES,
    _LITELLM,
    _ANY,
)
