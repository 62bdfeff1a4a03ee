"""A small service that writes the first e-mail to every lead: as a team would copy it. See README.md."""
