"""Whether a refusal blames a service tier that its request cannot have asked for.

Nothing of ours adds a tier: a body goes out as its producer wrote it. A project's settings, or a gateway, may add one
to requests that name none. If the model does not have that tier, the refusal is no request's fault. But a body names a
tier also where it names no valid one: by a null, in other letters or deep inside, as some gateways take it. Such a body
may have caused the refusal, and a producer's body must never stop the requests of others.
"""

import re
from collections.abc import Mapping
from typing import Final

_NAMED: Final = re.compile(r"service[\W_]?tier", re.IGNORECASE)
_REFUSED: Final = re.compile(
    r"(?:unsupported|invalid|unknown)(?: (?:parameter|argument|field)| value (?:for|of))?:? ['\"`]?service_tier\b",
    re.IGNORECASE,
)
"""The name stands where no server quotes a value: `Unknown model service_tier` blames no tier."""


def refuses_unasked_tier(param: str | None, message: str, body: Mapping[str, object]) -> bool:
    """Whether a refusal blames the service tier, by its `param` or its text, and the body asks for none."""
    return (param == "service_tier" or _REFUSED.match(message) is not None) and not mentions_tier(body)


def mentions_tier(body: Mapping[str, object]) -> bool:
    """Whether a key anywhere in a body contains the field's name, however it is spelt, or a text is that name alone.

    `providerOptions.openai.serviceTier` is such a key, `allowed_openai_params: ["service_tier"]` such a text.
    """
    rest: list[object] = [body]
    while rest:
        value = rest.pop()
        if isinstance(value, Mapping):
            if any(_NAMED.search(key) for key in value):
                return True
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, str) and _NAMED.fullmatch(value):
            return True
    return False
