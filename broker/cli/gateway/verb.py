"""`headrace gateway`: without a verb behind it, the server; `headrace gateway key …`: the keys of its clients."""

import typer

from headrace.broker.cli.gateway.keys import keys
from headrace.broker.cli.help_page import WHICH_VERB, GroupPage
from headrace.broker.cli.options import BootstrapServers, Config, TopicPrefix, settings_from

app = typer.Typer(invoke_without_command=True)
app.add_typer(keys, name="key", cls=GroupPage, subcommand_metavar=WHICH_VERB)


@app.callback()
def gateway(
    context: typer.Context,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
) -> None:
    """Serve OpenAI's API in front of the lanes: an OpenAI SDK works with Headrace by its base URL alone.

    It never creates topics (`headrace topics create` does, with gateway.enabled) and holds no key of OpenAI's; any
    number of them may run. SIGTERM or Ctrl-C stops it after a drain.

    Example: headrace gateway --config headrace.toml
    """
    if context.invoked_subcommand is None:
        from headrace.broker.cli.gateway.serve import serve  # noqa: PLC0415  # the verbs of keys need no server

        serve(settings_from(config, bootstrap_servers, prefix))
    elif config is not None or bootstrap_servers is not None or prefix is not None:
        raise typer.BadParameter("Options stand behind the last verb, as in `headrace gateway key list --config FILE`")
