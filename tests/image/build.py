"""python -m tests.image.build: a base, the image on it, and what each took.

No image registry is asked. The base is put together from Debian's packages as the slim images of Docker's library are;
it is kept, and made anew when its recipe changes.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from tests.image.engine import IMAGE, STORE, EngineError, buildah, output, podman
from tests.image.machine import ROOT, CannotPrepareError, prepare
from tests.image.pip_settings import as_file, fetching, files_named

SUITE = "trixie"
PACKAGES = ("ca-certificates", "python3", "python3-pip")
BASE = f"localhost/headrace-base:{hashlib.sha256(' '.join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]}"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SCRATCH_BYTES = 2_000_000_000

_STEP_S = 600


def main() -> int:
    """Prepare the machine, build, say what it took; 2 if this machine cannot."""
    try:
        with said("tools"):
            prepare()
        with said("base"):
            make_base()
        with said("image"):
            make_image()
    except (CannotPrepareError, EngineError, subprocess.SubprocessError) as error:
        print(f"make image: {error}", file=sys.stderr)
        return 2
    base, image = bytes_of(BASE), bytes_of(IMAGE)
    print(f"{IMAGE}: {image / 1e6:.0f} MB, {(image - base) / 1e6:.0f} MB of it above the base")
    return 0


@contextmanager
def said(step: str) -> Iterator[None]:
    """Prints how long the step took."""
    begun_s = perf_counter()
    yield
    print(f"{step}: {perf_counter() - begun_s:.1f} s", flush=True)


def make_base() -> None:
    """A minimal Debian with Python, as an image, unless there is one by this recipe."""
    if subprocess.run(podman("image", "exists", BASE), capture_output=True, check=False).returncode == 0:
        return
    STORE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        tar = str(Path(folder) / "base.tar")
        made = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, tar]
        output(["env", f"TMPDIR={folder}", *made], timeout_s=_STEP_S)
        container = output(buildah("from", "scratch"))
        output(buildah("add", "--quiet", container, tar, "/"), timeout_s=_STEP_S)
    output(buildah("config", "--env", f"PATH={PATH}", container))
    output(buildah("commit", "--quiet", "--rm", "--disable-compression", container, BASE), timeout_s=_STEP_S)


def scratch() -> Path:
    """In memory if there is room: dpkg waits for the disk after every file, which doubles the time."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > SCRATCH_BYTES
    return memory if roomy else STORE.parent


def make_image() -> None:
    """The Dockerfile from its first line: layers kept between runs saved no time. The image before it is removed."""
    options = fetching()
    with tempfile.TemporaryDirectory() as folder:
        pip_conf = Path(folder) / "pip.conf"
        pip_conf.write_text(as_file(options), encoding="utf-8")
        building = buildah("bud", "--isolation", "chroot", "--network", "host", "--pull-never", "--tag", IMAGE)
        building += ["--secret", f"id=pip.conf,src={pip_conf}", "--build-arg", f"BASE={BASE}"]
        building += [word for path in files_named(options) for word in ("--volume", f"{path}:{path}:ro")]
        output([*building, str(ROOT)], timeout_s=_STEP_S)
    output(podman("image", "prune", "--force"))


def bytes_of(image: str) -> int:
    """What the image weighs unpacked."""
    return int(output(podman("image", "inspect", "--format", "{{.Size}}", image)))


if __name__ == "__main__":
    sys.exit(main())
