"""The gateway's process, behind `headrace gateway`."""

from headrace.broker.errors import SettingsError
from headrace.broker.settings.whole import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM.

    Raises:
        SettingsError: Gateways are not enabled, or have no keys.
    """
    if not settings.gateway.enabled:
        raise SettingsError(
            "No gateway is enabled: set gateway.enabled = true, and run `headrace topics create` again."
        )
    if settings.gateway.keys_file is None:
        raise SettingsError(
            "The gateway has no keys: make one with `headrace gateway key new NAME --tenant TENANT --file FILE`, and "
            "name the file in gateway.keys_file."
        )
    raise SettingsError("The server of the gateway is not part of this release.")
