"""OpenAI's own address, where no setting names another; apart from the door, so that it can be read without openai."""

from typing import Final

OPENAI_URL: Final = "https://api.openai.com/v1"
