import pytest

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.requirements import java, require_extra, valkey_server
from headrace.broker.local.services import LocalServices


def test_windows_is_told_to_bring_a_redis() -> None:
    with pytest.raises(LocalServicesError, match=r"no Valkey for Windows.*HEADRACE_REDIS__URL") as caught:
        require_extra("win32")
    assert caught.value.exit_code == 2


def test_a_missing_package_is_named_with_the_extra_to_install() -> None:
    with pytest.raises(LocalServicesError, match=r"absent_package missing.*headrace\[local\]"):
        require_extra(packages=("sys", "absent_package"))


def test_with_the_extra_both_servers_are_files_here() -> None:
    require_extra()
    assert java().is_file()
    assert valkey_server().is_file()


def test_a_pair_that_was_not_started_says_so() -> None:
    services = LocalServices()
    with pytest.raises(LocalServicesError, match="not been started"):
        _ = services.endpoints
    services.stop()
    assert not services.is_running
