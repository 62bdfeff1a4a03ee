from headrace.broker.core.setback import Setback


def test_a_log_names_each_setback_by_one_word() -> None:
    assert [each.value for each in Setback] == ["unknown", "refused", "denied"]
