from headrace.broker.core.answers.dialects import Dialect, HeaderBucket, named


def test_three_headers_are_named_by_one_pattern() -> None:
    assert named("tokens", 60_000, "x-ratelimit-{}-tokens-minute") == HeaderBucket(
        "tokens",
        60_000,
        "x-ratelimit-limit-tokens-minute",
        "x-ratelimit-remaining-tokens-minute",
        "x-ratelimit-reset-tokens-minute",
    )
    assert named("requests", None, "x-{}", shown_only=True).shown_only


def test_a_dialect_says_nothing_unless_it_is_told() -> None:
    silent = Dialect("mine")
    assert not any((silent.buckets, silent.charges, silent.codes, silent.templates, silent.waits, silent.throttles))
