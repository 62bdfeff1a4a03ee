"""Usage errors as one sentence that says what is wrong and what to do.

The library that reads the command line, and the one behind it that checks values, have messages of their own ("Input
should be a valid number, unable to parse string as a number"). The user gets Headrace's sentence instead.
"""

import re
from typing import Any, Final

import typer
from pydantic import ValidationError

from headrace.broker.cli.terminal import safe
from headrace.schemas.complaint import expected_in
from headrace.schemas.nearest import listed, nearest, shown, there_is_no

_NO_VERB: Final = re.compile(r"No such command '(.*?)'\.")
_FORMS: Final = (
    (re.compile(r"Got unexpected extra argument\(s\) \((.*)\)", re.DOTALL), "is one argument too many"),
    (re.compile(r"Option '(.+)' does not take a value\."), "takes no value"),
    (re.compile(r"Option '(.+)' requires (?:an argument|\d+ arguments)\."), "needs a value"),
)
_WRONG_KIND: Final = re.compile(r"(?:path|file|dir|directory) '(.*)' is a (file|directory)\.", re.IGNORECASE)
_OTHER_KIND: Final = {"file": "directory", "directory": "file"}
_CHOICE: Final = re.compile(r"is not one of (.+)$")
_QUOTED: Final = re.compile(r"'([^']*)'")


def usage_sentence(error: Any) -> str:
    """Return the sentence for an error of the command line's parser; help stays as it is.

    `error` is any exception of Typer's; its kinds are told apart by their attributes, since Typer exports few of them.
    """
    message = str(error.message)
    if (possible := getattr(error, "possibilities", error)) is not error:
        return _no_option(error, str(error.option_name), possible or ())
    if isinstance(error, typer.BadParameter):
        return _bad_value(error)
    if found := _NO_VERB.match(message):
        verbs = error.ctx.command.commands if error.ctx is not None else ()
        return there_is_no("verb", found[1], verbs)
    return next(
        (f"{shown(found[1])} {said}{_see_help(error)}." for form, said in _FORMS if (found := form.match(message))),
        str(error.format_message()),
    )


def _no_option(error: Any, name: str, possible: Any) -> str:
    options = ["--debug", *possible]  # which may stand anywhere
    if error.ctx is not None:
        options += [option for one in error.ctx.command.get_params(error.ctx) for option in one.opts]
    near = nearest(name, (option for option in options if option.startswith("-")))
    mend = f": did you mean {near}?" if near else f"{_see_help(error)}."
    return f"There is no option {shown(name)}{mend}"


def _bad_value(error: Any) -> str:
    named = "" if error.param is None else _named(error.param)
    if not named:
        return str(error.message)  # an error that Headrace raised
    if not error.message:
        return f"{named} is missing{_see_help(error)}."
    if isinstance(error.__cause__, ValidationError):
        return _invalid(named, error.__cause__)
    if found := _WRONG_KIND.match(error.message):
        return f"{named} must be a {_OTHER_KIND[found[2]]}, and {found[1]} is a {found[2]}."
    return f"{named}: {error.message}"


def _invalid(named: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    given = shown(safe(str(first["input"])))
    if found := _CHOICE.search(first["msg"]):
        names = _QUOTED.findall(found[1])
        near = nearest(given, names)
        said = f"{named} must be {listed(names, last='or')}, not {given}"
        return f"{said}: did you mean {near}?" if near else f"{said}."
    return f"{named} must be {expected_in(first)}, not {given}."


def _named(param: Any) -> str:
    """Return `--timeout`, or the argument as the help names it."""
    options = [option for option in param.opts if option.startswith("-")]
    return max(options, key=len) if options else str(param.metavar or str(param.name).upper())


def _see_help(error: Any) -> str:
    return "" if error.ctx is None else f": see `{error.ctx.command_path} -h`"
