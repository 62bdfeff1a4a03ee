"""OpenAI through its SDK, the only package that imports it."""
