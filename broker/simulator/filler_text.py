"""The e-mail that the simulated model writes: plausible first-touch copy for a lead, deterministic per request.

The demo shows these texts beside the real lead records, so they pick up the company, the person, the role and the
language that the prompt names. Nothing here understands a prompt: it looks for `Company: …`, `Role: …`, `Language: de`
and similar markers.
"""

import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

PROMPT_CHARS_MAX: Final = 20_000  # the markers stand near the top; a huge prompt must not cost a regex scan of it all

_MARKER: Final = r"(?im)(?:^|[\s{{(,;*\-\"'])(?:{names})[\"'*]*\s*[:=]\s*[\"'*]*\s*([^\"'\n\r,;*{{}}]+)"


def _marker(*names: str) -> re.Pattern[str]:
    return re.compile(_MARKER.format(names="|".join(names)))


_COMPANY: Final = _marker(
    "company(?:[ _]name)?", "organi[sz]ation", "account", "firma", "unternehmen", "entreprise", "empresa"
)
_NAME: Final = _marker("(?:contact|first|full|lead)[ _]?name", "name", "contact", "ansprechpartner", "nom", "nombre")
_ROLE: Final = _marker("role", "(?:job[ _])?title", "position", "rolle", "poste", "cargo", "puesto")
_LANGUAGE: Final = _marker("lang(?:uage)?", "sprache", "langue", "idioma")

_LANGUAGES: Final = {
    "en": "en", "english": "en", "englisch": "en", "anglais": "en", "inglés": "en",
    "de": "de", "german": "de", "deutsch": "de", "allemand": "de", "alemán": "de",
    "fr": "fr", "french": "fr", "français": "fr", "francais": "fr", "französisch": "fr", "francés": "fr",
    "es": "es", "spanish": "es", "español": "es", "espanol": "es", "spanisch": "es", "espagnol": "es",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences of one language; `{company}`, `{role}` and `{name}` are filled in."""

    your_company: str
    your_role: str
    greeting: str
    greeting_by_name: str
    subjects: Sequence[str]
    openings: Sequence[str]
    middles: Sequence[str]
    closings: Sequence[str]
    signature: str


_FILE: Final = files("headrace.broker.simulator").joinpath("phrases.toml")
_PHRASES: Final = {name: Phrases(**told) for name, told in tomllib.loads(_FILE.read_text(encoding="utf-8")).items()}


@dataclass(frozen=True, slots=True)
class Email:
    """One e-mail."""

    subject: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """Subject line, then the paragraphs."""
        return f"Subject: {self.subject}\n\n" + "\n\n".join(self.paragraphs)


def write_email(prompt: str, seed: int) -> Email:
    """Write two to four short paragraphs in the prompt's language; `seed` decides everything else."""
    head = prompt[:PROMPT_CHARS_MAX]
    chance = random.Random(seed)
    phrases = _PHRASES[_language(head)]
    company = _found(_COMPANY, head) or phrases.your_company
    role = _found(_ROLE, head) or phrases.your_role
    name = _found(_NAME, head)

    greeting = phrases.greeting_by_name.replace("{name}", name) if name else phrases.greeting
    middle = chance.sample(phrases.middles, chance.randint(0, 2))
    chosen = [chance.choice(phrases.openings), *middle, chance.choice(phrases.closings)]
    paragraphs = [_filled(line, company, role) for line in chosen]
    return Email(
        subject=_filled(chance.choice(phrases.subjects), company, role),
        paragraphs=(f"{greeting}\n{paragraphs[0]}", *paragraphs[1:-1], f"{paragraphs[-1]}\n{phrases.signature}"),
    )


def _filled(line: str, company: str, role: str) -> str:
    return line.replace("{company}", company).replace("{role}", role)


def _language(prompt: str) -> str:
    found = _found(_LANGUAGE, prompt)
    if found is None:
        return "en"
    word = re.split(r"[\s_\-(.]", found.lower(), maxsplit=1)[0]
    return _LANGUAGES.get(word, "en")


def _found(marker: re.Pattern[str], prompt: str) -> str | None:
    match = marker.search(prompt)
    if match is None:
        return None
    value = " ".join(match.group(1).split()).rstrip(".")
    return value[:60] or None
