"""What `-h` shows of a verb and of a group of verbs: plain text, as wide as the terminal up to 120 columns.

It is the same on a terminal and in a pipe. Typer's own page for terminals keeps the line breaks of the source, takes
square brackets for markup and writes types of Python beside flags; its plain one cuts summaries off.
"""

from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
"""Of the outermost group; the others inherit them."""

WHICH_VERB: Final = "VERB …"
"""Behind the name of a group, in its line of usage."""

_WHOLE: Final = 10_000


class VerbPage(TyperCommand):
    """A verb; its arguments stand in the help as in the usage line, without the type that Typer adds."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what stands behind the description."""
        arguments = [_argument(each, ctx) for each in self.get_params(ctx) if each.param_type_name == "argument"]
        options = [each.get_help_record(ctx) for each in self.get_params(ctx) if each.param_type_name == "option"]
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if shown := [row for row in rows if row is not None]:
                with formatter.section(title):
                    formatter.write_dl(shown)


class GroupPage(TyperGroup):
    """A group of verbs, each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, verb.get_short_help_str(_WHOLE)) for name, verb in found if verb is not None and not verb.hidden]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _argument(argument: Any, ctx: Any) -> tuple[str, str] | None:
    record = argument.get_help_record(ctx)
    return record and (argument.display_name_raw, record[1])
