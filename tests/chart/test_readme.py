"""The commands of helm/headrace/README.md install at the first try: helm runs them, or they fit what it renders."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from headrace.broker.gateway.keys.key import WAIT_S
from tests.chart import tools
from tests.chart.pod_files import settings_in
from tests.chart.rendering import Object, Rendered
from tests.unit.pages.blocks import ROOT, of_kind

PAGE = "helm/headrace/README.md"
VALUES = "my-values.yaml"
GATEWAY = "gateway.yaml"
INGRESS = "ingress.yaml"
MONITORING = "monitoring.yaml"


def commands() -> list[list[str]]:
    """The words of each command, in order."""
    texts = [block.text for block in of_kind("sh") if block.page == PAGE]
    return [shlex.split(line) for line in "".join(texts).splitlines()]


def command(*begin: str) -> list[str]:
    """The only command that has these words in this order."""
    [found] = [words for words in commands() if [word for word in words if word in begin] == list(begin)]
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What a reader has: the chart, seen from the project's root, and the page's values in the file that it names."""
    blocks = [block.text for block in of_kind("yaml") if block.page == PAGE]
    for name, values in zip((VALUES, GATEWAY, INGRESS, MONITORING), blocks, strict=True):
        assert values.startswith(f"# {name}\n")
        (tmp_path / name).write_text(values, encoding="utf-8")
    (tmp_path / "helm").symlink_to(ROOT / "helm")
    return tmp_path


@pytest.fixture
def rendered(home: Path) -> Rendered:
    """What the install command of the page makes."""
    return made_by_the_page(home)


def made_by_the_page(home: Path, *besides: str) -> Rendered:
    """What the install command makes with further arguments."""
    arguments = [word for word in command("helm", "install")[2:] if word != "--wait"]
    done = subprocess.run(
        [tools.helm(), "template", *arguments, *besides],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Rendered(tuple(found for found in yaml.safe_load_all(done.stdout) if found))


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_helm_takes_the_install_command_as_it_stands(home: Path) -> None:
    words = [word for word in command("helm", "install")[1:] if word != "--wait"]  # that wants a cluster
    dry = ["--dry-run=client", "--kubeconfig", "/nonexistent"]
    done = subprocess.run(
        [tools.helm(), *words, *dry], cwd=home, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_pod_runs_the_image_that_was_pushed(rendered: Rendered) -> None:
    pushed = command("docker", "push")[2]
    assert option(command("docker", "build"), "-t") == pushed
    images = {container["image"] for _, pod in rendered.pods() for container in pod["spec"]["containers"]}
    assert images == {pushed}


def secrets_named(pod: Object) -> set[tuple[str, str]]:
    """Name and key of each Secret that the pod waits for."""
    projected = [volume.get("projected", {}).get("sources", []) for volume in pod["spec"]["volumes"]]
    sources = [source["secret"] for each in projected for source in each]
    return {(source["name"], item["key"]) for source in sources for item in source["items"]}


def test_every_secret_that_a_pod_waits_for_has_been_created_in_its_namespace(rendered: Rendered) -> None:
    made = command("kubectl", "create", "secret", "headrace-openai")
    key = re.fullmatch(r"--from-file=([\w-]+)=\S+", made[-1])
    assert key is not None
    waited_for = set().union(*(secrets_named(pod) for _, pod in rendered.pods()))
    assert waited_for == {(made[made.index("generic") + 1], key[1])}
    namespaces = {option(made, "--namespace"), option(command("helm", "install"), "--namespace")}
    assert namespaces == {command("kubectl", "create", "namespace")[-1]}
    assert {found["metadata"]["namespace"] for found in rendered.objects} == namespaces


def test_the_keys_that_the_page_puts_into_a_secret_are_those_that_gateways_read(home: Path) -> None:
    made = command("kubectl", "create", "secret", "headrace-gateway-keys")
    spec = made_by_the_page(home, "--values", GATEWAY).pod("gateway")["spec"]
    [volume] = [each["secret"] for each in spec["volumes"] if each["name"] == "gateway-keys"]
    name, [item] = volume["secretName"], volume["items"]
    assert made[made.index("generic") + 1] == name
    assert made[-1].startswith(f"--from-file={item['key']}=")


def test_the_proxy_of_the_page_waits_longer_than_a_key_without_a_wait_of_its_own(home: Path) -> None:
    [ingress] = made_by_the_page(home, "--values", GATEWAY, "--values", INGRESS).of_kind("Ingress")
    assert int(ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > WAIT_S


def test_the_topics_are_created_before_the_pods_wait_for_them(rendered: Rendered) -> None:
    [job] = rendered.of_kind("Job")
    assert "pre-install" in job["metadata"]["annotations"]["helm.sh/hook"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][:2] == ["topics", "create"]


@pytest.mark.parametrize("component", ["dispatcher", "retrier", "topics"])
def test_headrace_accepts_the_settings_that_the_page_makes(rendered: Rendered, component: str, tmp_path: Path) -> None:
    found = settings_in(rendered, component, tmp_path / "pod", {("headrace-openai", "api-key"): "sk-x"}).settings
    assert found.kafka.bootstrap_servers.count(":9092") == 3
    assert found.redis.url.get_secret_value() == "redis://valkey:6379/0"


def test_the_leads_that_are_sent_are_there() -> None:
    words = command("kubectl", "exec", "--stdin", "submit")
    assert (ROOT / words[words.index("<") + 1]).is_file()


def test_the_deployment_that_is_asked_afterwards_is_there(rendered: Rendered) -> None:
    [asked] = {word for words in commands() for word in words if word.startswith("deployment/")}
    assert asked.partition("/")[2] in {found["metadata"]["name"] for found in rendered.of_kind("Deployment")}


def told() -> set[tuple[str, str]]:
    """Kind and name of each object in the table of the page."""
    found: set[tuple[str, str]] = set()
    names: list[str] = []
    for row in re.findall(
        r"^\| ([A-Z]\w+(?:, \w+)*) \| (.+?) \| ", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE
    ):
        names = names if row[1] == "the same" else re.findall(r"`([\w-]+)`", row[1])
        found |= {(kind, name) for kind in row[0].split(", ") for name in names}
    return found


def test_the_table_names_every_object_of_a_release_and_no_other(home: Path) -> None:
    files = [part for file in (MONITORING, GATEWAY, INGRESS) for part in ("--values", file)]
    others = ["gateway.autoscaling.enabled", "gateway.httpRoute.enabled"]
    sets = [part for each in others for part in ("--set", f"{each}=true")]
    parent = ("--set", "gateway.httpRoute.parentRefs[0].name=public")
    rendered = made_by_the_page(home, *files, *sets, *parent)
    assert told() == {(found["kind"], found["metadata"]["name"]) for found in rendered.objects}


def test_every_value_that_the_page_names_is_one_of_the_manual() -> None:
    values = yaml.safe_load((ROOT / "helm/headrace/values.yaml").read_text(encoding="utf-8"))
    text = re.sub(r"^```.*?^```$", "", (ROOT / PAGE).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = {name for name in re.findall(r"`(\w+(?:\.\w+)*)(?:: \{[^`]*\})?`", text) if name.split(".")[0] in values}
    assert len(named) > 6
    for name in named:
        at = values
        for key in name.split("."):
            assert key in at, name
            at = at[key]
