from headrace.broker.core.answers.meaning import FAULTS, OK, Fault, Meaning


def test_every_meaning_blames_one_party() -> None:
    assert set(FAULTS) == set(Meaning)
    account = {meaning for meaning, fault in FAULTS.items() if fault is Fault.ACCOUNT}
    assert account == {Meaning.QUOTA, Meaning.AUTH, Meaning.NOT_THE_API}
    assert FAULTS[OK] is Fault.NONE


def test_an_unavailable_tier_is_the_servers_as_an_overload_is() -> None:
    assert FAULTS[Meaning.TIER_UNAVAILABLE] is FAULTS[Meaning.OVERLOADED] is Fault.SERVER
