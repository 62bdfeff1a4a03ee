"""`headrace gateway`: the OpenAI-compatible door, and the keys of its clients."""
