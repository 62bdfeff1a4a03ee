"""A Django app that calls OpenAI through Headrace, made to be copied by a team. See README.md."""
