"""Help page of a verb or a group of verbs (`-h`): plain text, as wide as the terminal up to 120 columns.

It is the same on a terminal and in a pipe. Typer's own page for terminals keeps the line breaks of the source, takes
square brackets for markup and shows Python types beside flags; its plain page cuts summaries off.
"""

from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
"""Context settings of the outermost group; the other groups inherit them."""

WHICH_VERB: Final = "VERB …"
"""Placeholder behind the name of a group in its usage line."""

_WHOLE: Final = 10_000


class VerbPage(TyperCommand):
    """Help page of one verb, which names arguments as the usage line does, without the type that Typer adds."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options below the description."""
        arguments = [_argument(each, ctx) for each in self.get_params(ctx) if each.param_type_name == "argument"]
        options = [each.get_help_record(ctx) for each in self.get_params(ctx) if each.param_type_name == "option"]
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if shown := [row for row in rows if row is not None]:
                with formatter.section(title):
                    formatter.write_dl(shown)


class GroupPage(TyperGroup):
    """Help page of a group of verbs, with the whole first sentence of each."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, verb.get_short_help_str(_WHOLE)) for name, verb in found if verb is not None and not verb.hidden]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _argument(argument: Any, ctx: Any) -> tuple[str, str] | None:
    record = argument.get_help_record(ctx)
    return record and (argument.display_name_raw, record[1])
