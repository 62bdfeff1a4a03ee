"""One call to OpenAI: sent, streamed, judged and weighed.

It also asks, before a process leads, whether the base URL answers as OpenAI's API does (`models_call`), and says what
another server has answered (`foreign_server`).
"""
