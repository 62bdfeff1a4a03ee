"""A small service that writes the first e-mail to every lead, made to be copied by a team. See README.md."""
