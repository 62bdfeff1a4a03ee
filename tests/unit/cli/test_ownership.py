"""Foreign distributions that ship our import names are found before they can do harm."""

import pytest

from broker.cli.ownership import NameTaken, check_names


def test_names_of_headrace_alone_are_fine() -> None:
    check_names({"broker": ["headrace"], "consumers": ["headrace", "headrace"], "schemas": ["Headrace"]})


def test_an_editable_install_that_claims_no_name_is_fine() -> None:
    check_names({})


def test_this_environment_is_fine() -> None:
    check_names()


def test_a_foreign_owner_is_named_with_what_to_do() -> None:
    with pytest.raises(NameTaken) as caught:
        check_names({"broker": ["headrace"], "schemas": ["headrace", "schemas"]})
    assert str(caught.value) == (
        "The Python package schemas belongs to the distribution schemas too, which overwrites Headrace's: "
        "uninstall schemas, install headrace again, or give it an environment of its own."
    )
    assert caught.value.exit_code == 2
