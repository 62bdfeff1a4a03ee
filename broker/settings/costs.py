"""Settings of what calls cost: whether outcomes say it, and where the prices come from."""

from pydantic import Field

from headrace.broker.settings.group import Group


class CostsSettings(Group):
    """Cost of each call, in its outcome. Prices are those that genai-prices lists for `provider`, under `prices_file`.

    Unless set, the provider is the one at `openai.base_url`, and OpenAI where the list names none there. The file is
    read when a process starts, and not again.
    """

    enabled: bool = True
    provider: str | None = Field(None, min_length=1, max_length=64)
    prices_file: str | None = Field(None, min_length=1)
