"""Bounds of the numbers in a behaviour, and the sentences that state them."""


def between(name: str, value: float, least: float, most: float) -> None:
    """Refuse a value outside the bounds, which are included.

    Raises:
        ValueError: with a sentence for a person.
    """
    if not least <= value <= most:
        raise ValueError(f"{name} is between {least:g} and {most:g}, not {value:g}")


def positive(name: str, value: int) -> None:
    """Refuse a value below 1.

    Raises:
        ValueError: with a sentence for a person.
    """
    if value < 1:
        raise ValueError(f"{name} is at least 1, not {value:g}")


def rate(name: str, value: float) -> None:
    """Refuse a value that is no share.

    Raises:
        ValueError: with a sentence for a person.
    """
    between(name, value, 0.0, 1.0)
