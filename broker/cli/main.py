"""The entry point of the console script: finds the verb, and reports every error as one sentence.

Exit codes: 0 done · 1 done, with failed outcomes or differences · 2 usage, settings, password, certificate or rights ·
3 a needed service cannot be reached · 130 interrupted · 143 ended by SIGTERM, unless the verb handles it itself. A verb
ends with another code than 0 by raising an error of Headrace, which carries one, or `typer.Exit`.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from headrace.broker.cli.help_page import SETTINGS, WHICH_VERB, GroupPage
from headrace.broker.cli.terminal import say
from headrace.broker.cli.termination import EXIT_CODE as TERMINATED
from headrace.broker.cli.termination import INTERRUPTED, Termination
from headrace.broker.cli.verbs import VERBS, Verb, assemble

_FAILED = 1
_COMPLETE = "_HEADRACE_COMPLETE"
"""Environment variable set by the script that `--install-completion` writes."""

_HELP = """The one place through which a company's services call OpenAI.

Priority lanes in Kafka, a token budget that mirrors OpenAI's own, exactly one outcome for each request.

Example: headrace demo
"""


def main(argv: Sequence[str] | None = None, verbs: Sequence[Verb] = VERBS) -> int:
    """Run one verb and return the exit code."""
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    debug = _take_out_debug(args)
    chosen = next((arg for arg in (_completed() or args) if not arg.startswith("-")), None)
    with Termination() as termination:
        code = _code_of(args, verbs, chosen, debug=debug)
    return TERMINATED if termination.is_asked and code == INTERRUPTED else code


def _code_of(args: list[str], verbs: Sequence[Verb], chosen: str | None, *, debug: bool) -> int:
    try:
        return _exit_code(_app(verbs, chosen)(args, prog_name="headrace", standalone_mode=False))
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        return _FAILED
    except Exception as error:  # noqa: BLE001 - the outermost frame: a person gets a sentence, never a traceback
        if debug:
            say("".join(traceback.format_exception(error)), err=True)
        return _report(_first_of(error))


def _app(verbs: Sequence[Verb], chosen: str | None) -> typer.Typer:
    app = typer.Typer(
        help=_HELP,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        cls=GroupPage,
        subcommand_metavar=WHICH_VERB,
        context_settings=SETTINGS,
    )
    app.callback()(_global_options)
    assemble(app, verbs, chosen)
    return app


def _completed() -> list[str]:
    """Return the words before the cursor while a shell completes a line: the verb among them must be loaded."""
    if _COMPLETE not in os.environ:
        return []
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()[1:]


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"headrace {version('headrace')}")
        raise typer.Exit


def _global_options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version_wanted: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass  # both have taken effect before: --debug may stand anywhere, --version ends the run


def _take_out_debug(args: list[str]) -> bool:
    """Remove `--debug` at any position, often the end of a repeated command, and return whether it was given."""
    end = args.index("--") if "--" in args else len(args)
    if "--debug" not in args[:end]:
        return False
    args[:end] = [arg for arg in args[:end] if arg != "--debug"]
    return True


def _exit_code(result: object) -> int:
    return result if isinstance(result, int) else 0


def _first_of(error: BaseException) -> BaseException:
    """Return the error to report: of a task group's errors, the first one with an exit code of its own."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [_first_of(one) for one in error.exceptions]
    return next((one for one in inner if hasattr(one, "exit_code")), inner[0])


def _report(error: BaseException) -> int:
    exit_code = getattr(error, "exit_code", None)
    if not isinstance(exit_code, int):
        kind = type(error).__name__
        _say(f"unexpected: {kind}: {error} (run with --debug to see the traceback)")
        return _FAILED
    message = str(error)
    if isinstance(error, typer.TyperException):
        from headrace.broker.cli.usage import usage_sentence  # noqa: PLC0415 — it loads pydantic, which help goes without

        message = usage_sentence(error)
    if message.startswith("Usage:"):  # a group was called without one of its verbs
        say(message, err=True)
    elif message:
        for sentence in getattr(error, "sentences", (message,)):  # one line for each mistake of a file
            _say(sentence)
    return exit_code


def _say(message: str) -> None:
    sentence = " ".join(message.split())
    say(f"headrace: {sentence}{'' if sentence.endswith(('.', '!', '?', ')')) else '.'}", err=True)


if __name__ == "__main__":
    sys.exit(main())
