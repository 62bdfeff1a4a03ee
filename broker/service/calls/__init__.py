"""One call to OpenAI: sent, streamed, judged and weighed.

This package also checks, before a process leads, whether the base URL answers as OpenAI's API does (`models_call`), and
reports what another server has answered (`foreign_server`).
"""
