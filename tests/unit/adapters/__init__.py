"""The doors, as far as they can be opened without their third party."""
