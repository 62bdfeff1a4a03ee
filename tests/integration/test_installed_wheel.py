"""The wheel as a service installs it, beside modules of the service's own that have the names of our folders."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIGHT = "from headrace import Completed, Failed, GenerationClient, ResultReader"
OWN = {
    "schemas.py": "WHOSE = 'the service'\n",
    "broker.py": "WHOSE = 'the service'\n",
    "consumers/__init__.py": "WHOSE = 'the service'\n",
    "consumers/leads.py": "WHOSE = 'the service'\n",
}


def built(kind: str, source: Path, into: Path) -> Path:
    """The one file that the build makes of a source tree."""
    command = (sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into))
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [made] = into.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the wheel into, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    subprocess.run((*pip, "--target", str(folder), str(wheel)), check=True, capture_output=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A service's own folder."""
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def environment(site: Path) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(site), "NO_COLOR": "1"}


def said(program: str, site: Path, project: Path) -> list[str]:
    """The lines that a program of the service prints."""
    done = subprocess.run(
        (sys.executable, "-W", "error", "-c", program),
        cwd=project,
        env=environment(site),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_installation_adds_exactly_one_name_to_the_imports(site: Path) -> None:
    added = {path.name for path in site.iterdir() if path.suffix != ".dist-info" and path.name != "bin"}
    assert added == {"headrace"}


def test_a_service_with_modules_of_these_names_imports_headrace_and_its_own(site: Path, project: Path) -> None:
    program = (
        f"{LIGHT}\nimport broker, consumers.leads, schemas, headrace\n"
        "print(broker.WHOSE, consumers.leads.WHOSE, schemas.WHOSE, sep='\\n')\n"
        "print(headrace.__file__, GenerationClient.__module__, Completed.__module__, sep='\\n')"
    )
    *own, file, client, outcome = said(program, site, project)
    assert own == ["the service"] * 3
    assert Path(file) == site / "headrace" / "__init__.py"
    assert (client, outcome) == ("headrace.broker.client", "headrace.schemas.outcome")


def test_each_module_goes_by_one_name_and_is_imported_from_the_archive_itself(wheel: Path, project: Path) -> None:
    """An archive on the path, as of a zipapp: whatever file a module reads is read there too."""
    program = (
        "import importlib, pkgutil, sys, headrace\n"
        "for found in pkgutil.walk_packages(headrace.__path__, 'headrace.'):\n"
        "    importlib.import_module(found.name)\n"
        "print(headrace.__file__)\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'broker', 'consumers', 'schemas'})"
    )
    assert said(program, wheel, project) == [str(wheel / "headrace" / "__init__.py"), ""]


def test_the_verbs_run_in_the_folder_of_such_a_service(site: Path, project: Path) -> None:
    command = (sys.executable, "-m", "headrace.broker.cli.main", "explain", "429 slow_down")
    done = subprocess.run(command, cwd=project, env=environment(site), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("overloaded")


def test_what_is_no_module_is_in_the_wheel_too(site: Path) -> None:
    packaged = {str(path.relative_to(site)) for path in (site / "headrace").rglob("*") if path.suffix != ".pyc"}
    kept = {
        f"headrace/{path.relative_to(ROOT)}"
        for folder in ("broker", "consumers", "schemas")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".so"}
    }
    assert kept - packaged == set()
    assert {"headrace/py.typed", "headrace/broker/adapters/lua/take.lua"} <= packaged


def test_the_wheel_of_the_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(built("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    [tree] = tmp_path.glob("headrace-*")
    again = built("wheel", tree, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_copy_of_the_sources_without_its_links_is_refused(kind: str, tmp_path: Path) -> None:
    """As pip unpacks a ZIP archive: each link becomes a text file, and the wheel would hold no module."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "headrace/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("broker", "consumers", "schemas"):
        (tmp_path / "headrace" / name).write_text(f"../{name}")
    command = (sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tmp_path / "built"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "headrace/broker has to be a link to broker, and this copy of the sources has lost it" in done.stderr
    assert not list((tmp_path / "built").glob("*"))
