"""From a lead to the request that asks for its first e-mail.

The body is what a service would send to Chat Completions: house rules for every e-mail, then the lead. Its size is part
of the story. With the mean charge of some 400 tokens the 60 leads of the demo cost more than two full buckets of a
10,000 tokens-a-minute account.
"""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.cli.demo.leads import Lead

MODEL: Final = "gpt-4o-mini"
ANSWER_TOKENS_MAX: Final = 250  # the longest answer has some 200; under the old law OpenAI charged for all of it
TEMPLATE: Final = "first-touch"

_HOUSE_RULES: Final = """\
You write the first e-mail that a person at Brightmail Replies sends to a new lead. Brightmail Replies helps small and \
mid-sized companies to answer every incoming enquiry within the hour: drafts are written in the tone of the company, \
and nothing leaves the house before somebody has approved it. Setting it up takes an afternoon, no new software is \
needed, and the first thirty days cost nothing.

Rules of the house:
- Write in the language given below, in the form of address that is usual in that country's business mail.
- Begin with a subject line of at most eight words. No exclamation marks, no emoji, no capitals for emphasis.
- Two to four short paragraphs. One concrete observation about the lead, one benefit, one easy next step.
- Use the colleague's note for what the lead cares about, but never quote it and never mention that it exists.
- Promise nothing about prices, delivery dates or data protection that is not stated above.
- If the note asks not to be phoned, do not offer a call; if it names a date, respect it.
- Write numbers as the reader's country writes them, and names exactly as the lead spells them, accents included.
- Close with a polite way to say no, and sign as "The Brightmail team".\
"""

_ASK: Final = "Write the e-mail now."


def body_for(lead: Lead) -> dict[str, Any]:
    """Return the JSON body of the call."""
    about = (
        f"Company: {lead.company}\nContact: {lead.contact_name}\nRole: {lead.role}\nIndustry: {lead.industry}\n"
        f"Country: {lead.country}\nLanguage: {lead.language}\nHow they came to us: {lead.source}\n"
        f"Note by a colleague:\n{lead.note}\n\n{_ASK}"
    )
    return {
        "model": MODEL,
        "messages": [{"role": "system", "content": _HOUSE_RULES}, {"role": "user", "content": about}],
        "max_tokens": ANSWER_TOKENS_MAX,
    }


def request_id(lead: Lead) -> str:
    """Return the request id; the same lead always has the same one, so that submitting it twice costs one call."""
    return f"lead-{lead.lead_id}-email"


def metadata_for(lead: Lead) -> Mapping[str, Any]:
    """Return what the outcome carries back to the service that sends the e-mail."""
    return {"lead": int(lead.lead_id), "company": lead.company}
