"""Table of dialects: one row for each family of servers that speak OpenAI's protocol.

docs/facts/dialects.md has the source of each row. A row says only what recorded answers or the server's documentation
show. What belongs to no family is in the last row, any server's. The rows of resellers, engines and gateways are in
`headrace.broker.core.answers.dialect_table_gateways`.
"""

from typing import Final

from headrace.broker.core.answers.dialect_table_gateways import GATEWAYS
from headrace.broker.core.answers.dialects import Dialect, HeaderBucket, Template, named
from headrace.broker.core.answers.meaning import Meaning
from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, MONTH_MS, SECOND_MS

_COUNT: Final = "[0-9][0-9,]{0,24}"
_NAME: Final = "[A-Za-z0-9_.:/-]{1,128}"
_PERIOD: Final = "(?:(?P<times>[0-9]{1,5}) )?(?P<period>second|sec|minute|min|hour|day|week|month)s?"

_OPENAIS_NUMBERS: Final = (
    rf"\bLimit:? (?P<capacity>{_COUNT})",
    rf"\b(?:Used|Current):? (?P<used>{_COUNT})",
    rf"\bRequested:? ~?(?P<requested>{_COUNT})",
    rf"\b(?:reached|large) for (?:model )?`?(?P<model>{_NAME})`? (?:in|on|\()",
    rf"\(for limit `?(?P<name>{_NAME})`?\)",
    r"(?P<project> in project )",
)

_OPENAI: Final = Dialect(
    "OpenAI",
    codes={
        Meaning.TIMEOUT: "timeout",
        Meaning.CONNECTION: "connection",
        Meaning.QUOTA: """insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded
            project_spend_limit_exceeded organization_usage_limit_exceeded billing_hard_limit_reached
            billing_not_active""",
        Meaning.OVERLOADED: "slow_down server_is_overloaded",
        Meaning.TIER_UNAVAILABLE: "resource_unavailable",
        Meaning.RATE_LIMITED: "token_limit_exceeded",
        Meaning.TOO_LARGE: "max_tokens_per_request",
        Meaning.UPSTREAM_ERROR: "server_error vector_store_timeout",
        Meaning.AUTH: """invalid_api_key account_deactivated invalid_organization mismatched_organization
            mismatched_project ip_not_authorized unsupported_country_region_territory""",
        Meaning.REJECTED: """model_not_found context_length_exceeded content_policy_violation content_filter
            moderation_blocked invalid_prompt bio_policy cyber_policy misalignment_policy_violation
            data_residency_mismatch invalid_image invalid_image_format invalid_base64_image invalid_image_url
            image_too_large image_too_small image_parse_error image_content_policy_violation invalid_image_mode
            image_file_too_large unsupported_image_media_type empty_image_file failed_to_download_image
            image_file_not_found unsupported_parameter unsupported_value unknown_parameter missing_required_parameter
            invalid_value invalid_type string_above_max_length array_above_max_length""",
    },
    types={Meaning.QUOTA: "insufficient_quota"},
    throttles="rate_limit_exceeded rate_limit_error rate_limited ratelimiterror tokens requests input-images",
    phrases={
        Meaning.TOO_LARGE: (r"\brequest too large\b",),
        Meaning.TIER_UNAVAILABLE: (r"\bresource unavailable\b",),
        Meaning.OVERLOADED: ("processing too many requests", r"\boverloaded\b", r"\bat capacity\b", r"^slow down\b"),
        Meaning.RATE_LIMITED: (r"\brate[- ]?limit", r"\btoo many requests\b", r"\benqueued token limit\b"),
    },
    openings={
        Meaning.AUTH: (
            "incorrect api key provided|country, region, or territory not supported|you didn't provide an api key",
        ),
        Meaning.REJECTED: (
            "this model's maximum context length|input tokens exceed the configured limit",
            "your input exceeds the context window|the response was filtered due to the prompt",
            "the model `[^`]{1,128}` (?:does not exist|has been deprecated)|unsupported parameter|invalid value for '",
        ),
        Meaning.TOO_LARGE: ("requested [0-9,]{1,15} tokens, max [0-9,]{1,15} tokens per request",),
        Meaning.UPSTREAM_ERROR: ("the server (?:had|experienced) an error",),
    },
    templates=(
        Template(
            rf"\bon (?P<metric>tokens|requests|input-tokens|input-images|images) per {_PERIOD}\b",
            _OPENAIS_NUMBERS,
            exact=True,
        ),
        Template(  # the form of 2022
            rf"\bfor (?P<metric>tokens|requests)\. Limit: [0-9.]{{1,24}} / {_PERIOD}\b", _OPENAIS_NUMBERS, exact=True
        ),
        Template(
            rf"\bRequested (?P<requested>{_COUNT}) tokens, max (?P<capacity>{_COUNT}) tokens per request",
            metric="tokens",
        ),
        Template(
            rf"\b(?:maximum context length is|the configured limit of) (?P<capacity>{_COUNT}) tokens",
            (rf"\b(?:resulted in|requested(?: about)?|has) (?P<requested>{_COUNT}) (?:input )?tokens",),
            metric="tokens",
        ),
        Template(
            rf"\bEnqueued token limit reached for (?P<name>{_NAME}) .{{0,200}}?Limit: (?P<capacity>{_COUNT})",
            metric="tokens",
        ),
    ),
    waits=(r"\b(?:try again|retry|resets?) (?:in|after) (?P<go>[0-9][0-9a-zµμ.]{0,40}[a-zµμ])(?!\w)",),
    wait_fields="resets_in_seconds",
)

_AZURE: Final = Dialect(
    "Azure OpenAI",
    codes={
        Meaning.OVERLOADED: "nocapacity",
        Meaning.REJECTED: "deploymentnotfound responsibleaipolicyviolation",
        Meaning.RATE_LIMITED: "toomanyrequests too_many_requests",
    },
    phrases={Meaning.OVERLOADED: ("high demand",)},
    openings={
        Meaning.AUTH: ("access denied due to invalid subscription key",),
        Meaning.REJECTED: ("the api deployment for this resource does not exist",),
    },
    templates=(
        Template(
            r"\bexceeded (?:the )?(?P<metric>token|call) rate limit\b",
            (rf"\bYour requests to (?P<name>{_NAME}) for ",),
        ),
        Template(r"\bpolicy-id: \w{1,64}-(?P<metric>Token|Call)\b"),
    ),
    wait_fields="x-rate-limit-reset-tokens x-rate-limit-reset-requests",
    stated_headers="policy-id x-rate-limit-reset-tokens x-rate-limit-reset-requests",
)

_FOUNDRY: Final = Dialect(
    "Azure AI Foundry, GitHub Models",
    codes={Meaning.RATE_LIMITED: "ratelimitreached", Meaning.TOO_LARGE: "tokens_limit_reached"},
    phrases={Meaning.TOO_LARGE: (r"\brequest body too large for\b",)},
    templates=(
        Template(
            rf"\bRate limit of (?P<capacity>{_COUNT}) per (?P<seconds>[0-9]{{1,8}})s exceeded for (?P<id>\w{{1,128}})",
            metric="requests",
            exact=True,
        ),
        Template(
            rf"\bRequest body too large for (?P<name>{_NAME}) model\. Max size: (?P<capacity>{_COUNT}) tokens",
            metric="tokens",
        ),
    ),
)

_ANTHROPIC: Final = Dialect(
    "Anthropic",
    buckets=(
        named("tokens", MINUTE_MS, "anthropic-ratelimit-tokens-{}"),
        named("requests", MINUTE_MS, "anthropic-ratelimit-requests-{}"),
        named("input-tokens", MINUTE_MS, "anthropic-ratelimit-input-tokens-{}"),
        named("output-tokens", MINUTE_MS, "anthropic-ratelimit-output-tokens-{}"),
    ),
    types={Meaning.OVERLOADED: "overloaded_error", Meaning.AUTH: "authentication_error"},
    phrases={Meaning.TOO_LARGE: (r"\bextra usage is required for long context requests\b",)},
    broke=("your credit balance is too low", "you have reached your specified api usage limits"),
    templates=(
        Template(
            rf"\brate limit\b.{{0,200}}?\bof (?P<capacity>{_COUNT}) (?P<metric>(?:input |output )?tokens|requests) "
            rf"per {_PERIOD}\b",
            (rf"\(org: [\w-]{{1,64}}, model: (?P<name>{_NAME})\)",),
            exact=True,
        ),
        Template(r"\bNumber of (?P<metric>requests|request tokens) has exceeded your\b"),
        Template(
            rf"\bcontext limit: (?P<requested>{_COUNT}) \+ (?P<more>{_COUNT}) > (?P<capacity>{_COUNT})",
            metric="tokens",
        ),
    ),
)

_GOOGLE: Final = Dialect(
    "Gemini, Vertex AI",
    throttles="resource_exhausted",
    reasons={
        Meaning.OVERLOADED: "model_capacity_exhausted",
        Meaning.QUOTA: "insufficient_g1_credits_balance",
        Meaning.AUTH: "api_key_invalid",
    },
    phrases={Meaning.RATE_LIMITED: (r"\bresource (?:has been )?exhausted\b", r"\bquota exceeded for\b")},
    broke=("your prepayment credits are depleted",),
    templates=(
        Template(
            r"\bquotaId: (?P<id>[\w-]{1,128})",
            (rf"\bquotaValue: (?P<capacity>{_COUNT})", rf"\bmodel: (?P<name>{_NAME})"),
            exact=True,
        ),
        Template(
            r"\bQuota exceeded for metric: [\w./-]{1,128}?_(?P<metric>input_token|token|request)(?:_count|s), "
            rf"limit: (?P<capacity>{_COUNT}), model: (?P<name>{_NAME})"
        ),
        Template(
            r"\bQuota exceeded for [\w.]{1,64}/(?P<id>[a-z_]{1,128})",
            (rf"\bwith base model: (?P<name>{_NAME})",),
        ),
        Template(rf"\blimit '[^']{{0,80}}?(?P<metric>tokens|requests?)(?: limit)? per {_PERIOD}\b"),
        Template(
            rf"\binput token count \((?P<requested>{_COUNT})\) exceeds the maximum number of tokens allowed "
            rf"\((?P<capacity>{_COUNT})\)",
            metric="tokens",
        ),
    ),
    waits=(r"\bretryDelay\W{1,6}(?P<go>[0-9][0-9a-z.]{0,24}s)\b",),
    wait_fields="retrydelay quotaresetdelay",
)

_MISTRAL: Final = Dialect(
    "Mistral",
    buckets=(
        named("tokens", MINUTE_MS, "x-ratelimit-{}-tokens-minute"),
        HeaderBucket(
            "tokens", MINUTE_MS, "ratelimitbysize-limit", "x-ratelimitbysize-remaining-minute", "ratelimitbysize-reset"
        ),
        named("tokens", MONTH_MS, "x-ratelimit-{}-tokens-month"),
        named("tokens", MONTH_MS, "x-ratelimitbysize-{}-month"),
        named("requests", 10 * SECOND_MS, "x-ratelimit-{}-req-10-second"),
        named("requests", MINUTE_MS, "x-ratelimit-{}-req-minute"),
        named("audio-seconds", MINUTE_MS, "x-ratelimit-{}-audio-seconds-minute"),
        named("ocr-pages", MINUTE_MS, "x-ratelimit-{}-ocr-pages-minute"),
    ),
    charges=("x-ratelimit-tokens-query-cost", "ratelimitbysize-query-cost"),
    throttles="1300",
    phrases={Meaning.TIER_UNAVAILABLE: (r"\bservice tier capacity exceeded\b",)},
    templates=(Template(r"^(?P<metric>Requests|Tokens) rate limit exceeded\b"),),
)

_GROQ: Final = Dialect(
    "Groq",
    codes={Meaning.TIER_UNAVAILABLE: "capacity_exceeded"},
    openings={Meaning.REJECTED: ("max_tokens .{0,200}?must be less than or equal to [0-9]",)},
)

_CEREBRAS: Final = Dialect(
    "Cerebras",
    buckets=tuple(
        named(kind, period_ms, f"x-ratelimit-{{}}-{kind}-{word}")
        for kind in ("tokens", "requests")
        for word, period_ms in (("minute", MINUTE_MS), ("hour", HOUR_MS), ("day", DAY_MS))
    ),
    throttles="token_quota_exceeded request_quota_exceeded",
    templates=(Template(rf"\b(?P<metric>Tokens|Requests) per {_PERIOD} limit exceeded\b"),),
)

_XAI: Final = Dialect(
    "xAI",
    broke=(
        "your team [0-9a-f-]{0,64} ?has either used all available credits",
        "you have run out of credits",
    ),
    phrases={Meaning.RATE_LIMITED: (r"\btoo many (?:tokens|requests) for team\b",)},
    templates=(
        Template(
            rf"\b(?P<metric>Tokens|Requests) per {_PERIOD} \(actual/limit\): "
            rf"(?P<used>{_COUNT})/(?P<capacity>{_COUNT})"
        ),
    ),
)

_TOGETHER: Final = Dialect(
    "Together",
    buckets=(named("tokens", SECOND_MS, "x-tokenlimit-{}", shown_only=True),),
    throttles="dynamic_request_limited dynamic_token_limited",
    templates=(
        Template(
            rf"\brate limit (?:for this model )?is (?P<capacity>{_COUNT})(?:\.0{{1,4}})? "
            rf"(?P<metric>queries|requests|tokens) per {_PERIOD}\b",
            (rf"\bspecific to this model (?P<name>{_NAME})\. ",),
        ),
        Template(rf"\b(?P<capacity>{_COUNT}) (?P<unit>[RT]PM) \([0-9,.]{{1,24}} [QT]PS\)"),
    ),
)

_DEEPSEEK: Final = Dialect(
    "DeepSeek", codes={Meaning.QUOTA: "insufficient_balance"}, broke=(r"insufficient balance\W{0,4}$",)
)

_OPENROUTER: Final = Dialect(
    "OpenRouter",
    codes={Meaning.QUOTA: "insufficient_credits payment_required"},
    input_fields="flagged_input",
    broke=("this request requires more credits, or fewer max_tokens",),
    templates=(
        Template(
            rf"\bfree-models-per-{_PERIOD}\b",
            (rf"\bx-ratelimit-limit: (?P<capacity>{_COUNT})",),
            metric="requests",
            exact=True,
        ),
    ),
)

TABLE: Final = (
    _OPENAI,
    _AZURE,
    _FOUNDRY,
    _ANTHROPIC,
    _GOOGLE,
    _MISTRAL,
    _GROQ,
    _CEREBRAS,
    _XAI,
    _TOGETHER,
    _DEEPSEEK,
    _OPENROUTER,
    *GATEWAYS,
)
"""Where two rows read the same text, the earlier one's reading counts."""

STATED_HEADERS: Final = tuple(name for dialect in TABLE for name in dialect.stated_headers.split())
