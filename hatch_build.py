"""Build hook: refuse a copy of the sources that has lost its links.

Headrace's folders become packages of `headrace` by symbolic links. Some ways to copy a tree turn them into small text
files: pip and others that unpack a ZIP archive, a checkout with `core.symlinks` off, a file system without links. The
build would then succeed, and install a package without a single module in it.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDERS = ("broker", "consumers", "schemas")


class LinksHook(BuildHookInterface):  # type: ignore[type-arg]  # it asks nothing of its builder's settings
    """Check before wheels, source distributions and editable installations alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Abort the build with one sentence if a folder cannot be reached through `headrace`."""
        for name in _FOLDERS:
            if not Path(self.root, "headrace", name, "__init__.py").is_file():
                self.app.abort(
                    f"headrace/{name} has to be a link to {name}, and this copy of the sources has lost it, as when "
                    "a ZIP archive is unpacked: take a clone (git+https://…) or an archive in tar format."
                )
