"""What a receiver sees: the deliveries pass the check of the Standard Webhooks library, and a forged one does not."""

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from webhook.signing import secret_of, signed_headers, webhook_id

OLD, NEW = (
    "whsec_b2xkIHNlY3JldCBvZiBhY21lLCBzdGlsbCBzaWducyB0b28=",
    "whsec_bmV3IHNlY3JldCBvZiBhY21lLCAzMiBieXRlcyBvciBzbw==",
)
BODY = '{"type":"generation.completed","data":{"id":"lead-1","text":"Grüße"}}'.encode()


@pytest.mark.parametrize("secret", [OLD, NEW], ids=["the old secret", "the new secret"])
def test_a_receiver_with_either_secret_accepts_a_delivery(secret: str) -> None:
    headers = signed_headers([secret_of(NEW), secret_of(OLD)], webhook_id("lead-1", 0), int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers)["data"]["id"] == "lead-1"


@pytest.mark.parametrize("age_s", [0, 3_600], ids=["another body", "an old attempt"])
def test_a_delivery_that_was_changed_or_is_old_is_refused(age_s: int) -> None:
    headers = signed_headers([secret_of(NEW)], webhook_id("lead-1", 0), int(time.time()) - age_s, BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY if age_s else BODY + b" ", headers)
