import pytest

from headrace.broker.simulator.behaviours.enforcement import Foreign, Period, SharedLimit
from headrace.broker.simulator.behaviours.file import behaviours_in


def test_a_file_lists_behaviours_with_the_numbers_it_changes() -> None:
    text = """
        [[behaviour]]
        name = "bucket-6s"

        [[behaviour]]
        name = "foreign"
        share = 0.2
        regular = true

        [[behaviour]]
        name = "shared-limit"
        models = ["gpt-4.1*"]
    """
    assert behaviours_in(text) == (
        Period(6.0),
        Foreign(share=0.2, regular=True),
        SharedLimit(models=("gpt-4.1*",)),
    )
    assert behaviours_in("") == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = ", "not TOML"),
        ("[behaviour]\nname = 'foreign'", r"consists of \[\[behaviour\]\] tables"),
        ("behaviour = ['foreign']", r"consists of \[\[behaviour\]\] tables"),
        ("seed = 7", r"consists of \[\[behaviour\]\] tables"),
        ("[[behaviour]]\nshare = 1", "number 1 has no name"),
        ("[[behaviour]]\nname = 'forein'", "did you mean 'foreign'"),
        ("[[behaviour]]\nname = 'foreign'\nshare = '0.x'", "share is a number"),
    ],
)
def test_a_file_that_cannot_be_played_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        behaviours_in(text)
