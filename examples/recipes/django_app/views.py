"""Two views: want an e-mail, look at it. `?wait=1` waits for it in the thread of the request, at most `WAIT_S`."""

import re
from contextlib import suppress

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from django_app.emails import request, wait
from django_app.models import Email
from headrace import IdConflict, NotSubmitted

WAIT_S = 25.0  # less than gunicorn's --timeout


@csrf_exempt  # an API; authenticate it as your others
@require_POST
def want(http: HttpRequest, lead: str) -> HttpResponse:
    """Note that an e-mail is wanted, and request it once the transaction has been committed."""
    contact = http.POST.get("contact", "")
    if not re.fullmatch(r"[\w.-]{1,64}", lead) or not 1 <= len(contact) <= 200:
        return JsonResponse({"error": "lead and contact are needed"}, status=422)
    waits = bool(http.GET.get("wait"))
    with transaction.atomic():
        email, _ = Email.objects.get_or_create(lead=lead, defaults={"contact": contact})
        if email.contact != contact:
            return JsonResponse({"error": "an e-mail to another contact is wanted for this lead"}, status=409)
        if email.state in {Email.State.WANTED, Email.State.REQUESTED} and not waits:
            transaction.on_commit(lambda: _requested(email))
    if email.state in {Email.State.WANTED, Email.State.REQUESTED} and waits:
        with suppress(NotSubmitted, IdConflict):  # the command sends it again; a conflict comes as an outcome
            wait(email, wait_s=WAIT_S)
    email.refresh_from_db()
    return _shown(email)


@require_GET
def look(_http: HttpRequest, lead: str) -> HttpResponse:
    """Show what is known: 202 while there is no result."""
    return _shown(get_object_or_404(Email, lead=lead))


def _requested(email: Email) -> None:
    with suppress(NotSubmitted):  # the row stays `wanted`, and the command sends it
        request(email)


def _shown(email: Email) -> HttpResponse:
    is_open = email.state in {Email.State.WANTED, Email.State.REQUESTED}
    shown = {"lead": email.lead, "state": email.state, "text": email.text, "reason": email.reason}
    return JsonResponse(shown, status=202 if is_open else 200)
