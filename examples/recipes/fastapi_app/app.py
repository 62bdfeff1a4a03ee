"""The application: one client and one reader for the life of the process, two routes, and a probe.

- `POST /emails` answers 202 once Kafka has the request, with the place where the result will be.
- `POST /emails?wait=true` waits for the result. If it does not come in time, it answers 202 as well: the request goes
  on, and the background reader stores its outcome.
- `GET /emails/{lead}` is that place: 200 with the result, 202 while there is none.

A client may repeat its POST as often as it likes: one call, one result.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from fastapi_app.emails import TENANT, Lead, body_of, request_id_of, result_of
from fastapi_app.results import Results
from fastapi_app.store import Row, Store
from headrace import (
    GenerationClient,
    GenerationFailed,
    HeadraceError,
    IdConflict,
    InvalidRequest,
    KafkaConnection,
    NotSubmitted,
    Outcome,
    Unresolved,
)
from headrace.broker.client_ports import ClientDoors

SUBMIT_S = 5.0
WAIT_S = 25.0  # less than the time-outs of clients and of what stands in front of the service


class Email(BaseModel):
    """What a client gets: `state` is `accepted`, `written` or `failed`."""

    lead: str
    state: str
    text: str | None = None
    reason: str | None = None


class Emails:
    """What the routes do, with the client and the store that they share."""

    def __init__(self, generations: GenerationClient, store: Store, *, wait_s: float) -> None:
        self._generations = generations
        self._store = store
        self._wait_s = wait_s

    async def request(self, lead: Lead, *, wait: bool) -> Row:
        """Request an e-mail, unless it was requested before; return what is known of it."""
        request_id, asked = request_id_of(lead.id), lead.model_dump_json()
        row = self._store.accept(request_id, asked)
        if row.asked != asked:
            raise HTTPException(409, "An e-mail was requested for this lead with other data.")
        if row.state != "accepted":
            return row
        if not wait:
            await self._generations.submit(
                body_of(lead), lane="standard", tenant=TENANT, id=request_id, timeout_s=SUBMIT_S
            )
        elif (outcome := await self._waited(lead, request_id)) is not None:
            self._store.end(request_id, outcome.run, *result_of(outcome))
        return self._store.get(request_id) or row

    async def _waited(self, lead: Lead, request_id: str) -> Outcome | None:
        try:
            return await self._generations.generate(
                body_of(lead), lane="urgent", tenant=TENANT, id=request_id, timeout_s=self._wait_s
            )
        except GenerationFailed as failed:
            return failed.outcome
        except Unresolved:  # it goes on
            return None


def create_app(connection: KafkaConnection | ClientDoors, store: Store, *, wait_s: float = WAIT_S) -> FastAPI:
    """Return the application; `connection` is a `KafkaConnection`, or a `MemoryBroker`'s in a test."""
    reading: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        results = Results(connection, store)
        async with GenerationClient(connection=connection, source="fastapi-app") as generations:
            app.state.emails = Emails(generations, store, wait_s=wait_s)
            reading[:] = [asyncio.create_task(results.run(), name="results")]
            yield
            results.stop()
            await reading[0]

    app = FastAPI(lifespan=lifespan)

    @app.post("/emails")
    async def request_email(lead: Lead, response: Response, *, wait: bool = False) -> Email:
        emails: Emails = app.state.emails
        response.headers["location"] = f"/emails/{lead.id}"
        return _email(lead.id, await emails.request(lead, wait=wait), response)

    @app.get("/emails/{lead_id}")
    async def email(lead_id: str, response: Response) -> Email:
        row = store.get(request_id_of(lead_id))
        if row is None:
            raise HTTPException(404, "No e-mail was requested for this lead.")
        return _email(lead_id, row, response)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        if reading[0].done():  # an operator must act, and the process be started anew
            raise HTTPException(503, "Results are no longer stored.")
        return {"status": "ok"}

    app.add_exception_handler(HeadraceError, explained)
    return app


def _email(lead_id: str, row: Row, response: Response) -> Email:
    if row.state == "accepted":
        response.status_code = 202
        response.headers["retry-after"] = "2"
    return Email(lead=lead_id, state=row.state, text=row.text, reason=row.reason)


async def explained(_request: Request, error: Exception) -> JSONResponse:
    """Answer what Headrace raises with a status that tells the client what to do."""
    match error:
        case IdConflict():
            return JSONResponse({"detail": "Another service has used the id of this request."}, 409)
        case InvalidRequest():
            return JSONResponse({"detail": str(error)}, 422)
        case NotSubmitted():  # Kafka is away, or its receipt was lost: the same POST again is safe
            return JSONResponse({"detail": "Try again."}, 503, {"retry-after": "5"})
        case _:
            return JSONResponse({"detail": "An operator must look."}, 500)
