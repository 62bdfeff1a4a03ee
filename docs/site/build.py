"""Builds the docs site into `.site/`: Sphinx draws the pages, Pagefind indexes them, check.py follows every link.

    make docs              # builds; anything that is broken fails
    make docs-serve        # serves it on this machine, and builds again when a page changes

It runs in an environment of its own (`docs/site/site.lock`), and needs no network.
"""
# ruff: noqa: INP001  # a script, beside the configuration that it uses

import argparse
import contextlib
import functools
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import check
import navigation

HERE: Final = Path(__file__).parent
SITE: Final = navigation.ROOT / ".site"
DRAWN: Final = navigation.ROOT / ".tools" / "site" / "drawn"
"""What Sphinx remembers of the last build, so that the next one reads only the pages that changed."""
POLL_S: Final = 0.5


def build(*, anew: bool) -> Sequence[str]:
    """Build the site and check it; what is wrong with it, one sentence each."""
    try:
        navigation.parts()
    except navigation.NavigationError as wrong:  # Sphinx would call it a defect of its own, at length
        return [str(wrong)]
    if anew:
        for folder in (SITE, DRAWN):
            shutil.rmtree(folder, ignore_errors=True)
    sphinx = [
        "sphinx",
        "--builder",
        "html",
        "--fail-on-warning",
        "--keep-going",
        "--nitpicky",
        "--quiet",
        "--jobs",
        "2",
    ]
    if not _ran([*sphinx, "--conf-dir", str(HERE), "--doctree-dir", str(DRAWN), str(navigation.ROOT), str(SITE)]):
        return ["Sphinx found what stands above."]
    if not _ran(
        [
            "pagefind",
            "--quiet",
            "--site",
            str(SITE),
            "--root-selector",
            "article",
            "--include-characters",
            "_",
            "--exclude-selectors",
            ".headerlink",
        ]
    ):
        return ["Pagefind could not index the pages."]
    return check.mistakes(SITE)


def _ran(module: Sequence[str]) -> bool:
    return subprocess.run([sys.executable, "-m", *module], check=False).returncode == 0  # noqa: S603  # words of ours


def tell(mistakes: Sequence[str], took_s: float) -> None:
    """Say what is wrong, or how many pages there are."""
    for each in mistakes:
        sys.stderr.write(f"{each}\n")
    if not mistakes:
        outside = check.outside(SITE)
        sys.stdout.write(
            f".site/index.html: {len(navigation.pages())} pages in {took_s:.1f} s; every link inside leads somewhere. "
            f"Links outside, not followed: {len(outside)}.\n"
        )


def serve(port: int) -> None:
    """Serve the site, and build it again whenever a page has changed, until Ctrl-C."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(SITE))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, name="serve", daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}/\n")
    seen = _state()
    while True:
        time.sleep(POLL_S)  # a poll: pages are edited by hand, and no library for file events is worth having for it
        if (state := _state()) != seen:
            seen = state
            began = time.monotonic()
            tell(build(anew=False), time.monotonic() - began)


def _state() -> dict[Path, int]:
    files = [navigation.ROOT / page for page in navigation.pages()]
    state = {}
    for path in [*files, *HERE.rglob("*.*")]:
        with contextlib.suppress(FileNotFoundError):  # an editor writes a page anew by renaming it
            state[path] = path.stat().st_mtime_ns
    return {path: changed for path, changed in state.items() if "__pycache__" not in path.parts}


def main(arguments: Sequence[str] | None = None) -> int:
    """Build once, or serve; 1 if anything is broken."""
    parser = argparse.ArgumentParser(prog="docs/site/build.py", description="Build the docs site into .site/.")
    parser.add_argument("--serve", action="store_true", help="serve it on this machine, and follow changes")
    parser.add_argument("--port", type=int, default=8090, help="port to serve on")
    parser.add_argument("--outside", action="store_true", help="list the links that lead outside, and build nothing")
    options = parser.parse_args(arguments)
    if options.outside:
        sys.stdout.write("".join(f"{link}\n" for link in check.outside(SITE)))
        return 0
    began = time.monotonic()
    mistakes = build(anew=not options.serve)
    tell(mistakes, time.monotonic() - began)
    if options.serve:
        serve(options.port)
    return 1 if mistakes else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
