"""Control messages about a request in progress: today, its cancellation."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from headrace.schemas.request import Id, Label


class Cancel(BaseModel):
    """Cancellation of a request: unless its id has an outcome, it is answered as `cancelled`.

    With a `tenant` only a request of that tenant is cancelled; without one, as in records of clients that do not know
    the field, a request of any tenant.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: Id
    type: Literal["cancel"] = "cancel"
    tenant: Label | None = None
