"""A cron job that requests and a cron job that collects, made to be copied by a team. See README.md."""
