"""Celery tasks that call OpenAI through Headrace, made to be copied by a team. See README.md."""
