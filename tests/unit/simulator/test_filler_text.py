import pytest

from headrace.broker.simulator.filler_text import write_email

PROMPT = "Write a first-touch e-mail.\nCompany: Müller & Söhne GmbH\nContact name: Ada Byron\nRole: Head of Sales\n"


def test_the_same_prompt_and_seed_give_the_same_words() -> None:
    assert write_email(PROMPT, 5) == write_email(PROMPT, 5)


def test_other_seeds_give_other_words_and_lengths() -> None:
    emails = [write_email(PROMPT, seed) for seed in range(40)]
    assert len({email.text for email in emails}) > 20
    assert {len(email.paragraphs) for email in emails} == {2, 3, 4}


@pytest.mark.parametrize(
    ("marker", "signature"),
    [
        ("Language: de", "Freundliche Grüße"),
        ("language: German", "Freundliche Grüße"),
        ('{"language": "fr-FR"}', "Bien cordialement"),
        ("Idioma: español", "Un cordial saludo"),
        ("Lang=en", "Kind regards"),
        ("Language: Klingon", "Kind regards"),
        ("", "Kind regards"),
    ],
)
def test_the_language_is_the_one_the_prompt_names(marker: str, signature: str) -> None:
    assert write_email(PROMPT + marker, 1).text.endswith(signature)


def test_company_and_name_are_picked_up() -> None:
    email = write_email(PROMPT, 3)
    assert "Ada Byron" in email.paragraphs[0]
    assert "Müller & Söhne GmbH" in email.text


def test_a_prompt_of_json_is_read_too() -> None:
    text = " ".join(write_email('{"company": "Acme", "role": "CTO"}', seed).text for seed in range(20))
    assert "Acme" in text
    assert "CTO" in text


def test_a_prompt_that_names_nothing_is_answered_in_general_words() -> None:
    for seed in range(20):
        text = write_email("Say something nice.", seed).text
        assert "{" not in text
        assert text.startswith("Subject: ")


def test_braces_in_a_prompt_stay_text() -> None:
    assert "{" not in write_email("Company: {role} {0} x", 2).subject.replace("{role}", "")
