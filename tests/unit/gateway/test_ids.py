from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.gateway.ids import given_id, internal_id, is_tenant_name
from headrace.schemas.ids import is_valid_id

TENANTS = st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True)


def test_an_ordinary_id_stands_behind_its_tenant() -> None:
    assert internal_id("acme", "lead-17") == "acme/lead-17"
    assert given_id("acme", "acme/lead-17") == "lead-17"


def test_an_id_is_of_no_other_tenant() -> None:
    assert given_id("acme", "acme-2/lead-17") is None
    assert given_id("acme", "acme") is None
    assert given_id("acme", "lead-17") is None


@given(TENANTS, st.text())
def test_any_text_of_a_client_becomes_an_id_of_its_own_tenant(tenant: str, text: str) -> None:
    internal = internal_id(tenant, text)
    assert is_valid_id(internal)
    assert given_id(tenant, internal) is not None
    assert internal == internal_id(tenant, text)


@given(TENANTS, st.text(), TENANTS, st.text())
def test_two_clients_ids_meet_only_where_tenant_and_text_are_equal(
    tenant: str, text: str, other_tenant: str, other_text: str
) -> None:
    meet = internal_id(tenant, text) == internal_id(other_tenant, other_text)
    assert meet == ((tenant, text) == (other_tenant, other_text))


def test_a_client_cannot_name_the_digest_of_another_id() -> None:
    digest = internal_id("acme", "é" * 300)
    given_as_text = given_id("acme", digest)
    assert given_as_text is not None
    assert internal_id("acme", given_as_text) != digest


def test_a_tenant_has_no_slash_and_a_bounded_name() -> None:
    assert is_tenant_name("acme.leads_2-eu")
    assert not any(is_tenant_name(name) for name in ("", "a/b", "a b", "é", "a" * 41, "a\n"))
