"""Control messages about a request in progress: today, its cancellation."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.request import Id, Label


class Cancel(BaseModel):
    """Answer this id as `cancelled` unless it is answered already.

    With a `tenant` only a request of that tenant is meant. Without one, and in records of clients that do not know the
    field, the request is meant whatever its tenant.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: Id
    type: Literal["cancel"] = "cancel"
    tenant: Label | None = None
