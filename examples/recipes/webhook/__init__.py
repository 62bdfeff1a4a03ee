"""A reader that delivers every outcome to a webhook, made to be copied by a team. See README.md."""
