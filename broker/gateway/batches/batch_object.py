"""A batch's state as OpenAI's batch object, and files as OpenAI's file objects."""

from typing import Any

from headrace.broker.gateway.batches.names import answers_file_id
from headrace.broker.gateway.batches.records import FileCreated
from headrace.broker.gateway.batches.state import BatchState


def batch_object(state: BatchState) -> dict[str, Any]:
    """Return OpenAI's batch object."""
    created, ended = state.created, state.ended
    has_files = ended is not None and ended.status != "failed"
    ended_s = _seconds(state.ended_ms)
    at = {
        f"{status}_at": ended_s if ended is not None and ended.status == status else None
        for status in ("completed", "failed", "cancelled", "expired")
    }
    return {
        "id": created.id,
        "object": "batch",
        "endpoint": created.endpoint,
        "model": state.model,
        "errors": _errors(state),
        "input_file_id": created.input_file_id,
        "completion_window": created.window,
        "status": status_of(state),
        "output_file_id": answers_file_id(created.id, is_output=True) if has_files and state.output_bytes else None,
        "error_file_id": answers_file_id(created.id, is_output=False) if has_files and state.error_bytes else None,
        "created_at": created.created_s,
        "in_progress_at": _seconds(state.validated_ms),
        "expires_at": created.expires_s,
        "finalizing_at": _seconds(state.answered_ms),
        "cancelling_at": _seconds(state.cancel_ms),
        **at,
        "request_counts": {"total": state.lines or 0, "completed": state.completed, "failed": state.failed},
        "usage": _usage(state),
        "metadata": created.metadata,
    }


def status_of(state: BatchState) -> str:
    """Return OpenAI's word for how far a batch is."""
    if state.ended is not None:
        return state.ended.status
    if state.cancel_ms is not None:
        return "cancelling"
    if state.lines is None:
        return "validating"
    return "finalizing" if state.is_answered else "in_progress"


def _errors(state: BatchState) -> dict[str, Any] | None:
    if state.ended is None or not state.ended.errors:
        return None
    rows = [
        {"code": each.code, "message": each.message, "param": each.param, "line": each.line}
        for each in state.ended.errors
    ]
    return {"object": "list", "data": rows}


def _usage(state: BatchState) -> dict[str, Any]:
    spent = state.tokens
    return {
        "input_tokens": spent.input,
        "input_tokens_details": {"cached_tokens": spent.cached},
        "output_tokens": spent.output,
        "output_tokens_details": {"reasoning_tokens": spent.reasoning},
        "total_tokens": spent.total,
    }


def _seconds(at_ms: int | None) -> int | None:
    return None if at_ms is None else at_ms // 1_000


def uploaded_object(file: FileCreated) -> dict[str, Any]:
    """Return OpenAI's file object of an uploaded file."""
    return file_object(
        file.id,
        size=file.parts.size,
        created_s=file.created_s,
        filename=file.filename,
        purpose=file.purpose,
        expires_s=file.expires_s,
    )


def file_object(  # noqa: PLR0913  # the fields of one object
    file_id: str, *, size: int, created_s: int, filename: str, purpose: str, expires_s: int | None
) -> dict[str, Any]:
    """Return OpenAI's file object of these fields."""
    return {
        "id": file_id,
        "object": "file",
        "bytes": size,
        "created_at": created_s,
        "expires_at": expires_s,
        "filename": filename,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
