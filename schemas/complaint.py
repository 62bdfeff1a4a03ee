"""pydantic's complaints as one sentence that names our field and repeats nothing that was given."""

from pydantic import ValidationError


def sentence_of(error: ValidationError, subject: str = "request") -> str:
    """The first complaint, with the name of our field and nothing that was given; `subject` is what is not valid."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    complaint = first["msg"].removeprefix("Value error, ")
    return f"The field {field} is not valid: {complaint}." if field else f"The {subject} is not valid: {complaint}."
