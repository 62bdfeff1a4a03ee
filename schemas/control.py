"""What can be asked of a request that is under way: today, that it be cancelled."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.request import Id


class Cancel(BaseModel):
    """Answer this id as `cancelled` unless it is answered already."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: Id
    type: Literal["cancel"] = "cancel"
