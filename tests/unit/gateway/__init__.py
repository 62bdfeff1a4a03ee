"""The gateway: pure parts, and shells on doubles and in virtual time."""
