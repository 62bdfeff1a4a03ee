"""One batch, driven to its end: each step that `plan` names, done on Kafka.

The run's own records come back to it through the fold like any other's, so it never knows more than a successor would.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

from headrace.broker.client_ports import Pending, SubmitLog
from headrace.broker.errors import InvalidRequest, PositionGone
from headrace.broker.gateway.batches.answer_lines import (
    CUSTOM_ID,
    outcome_line,
    oversized_line,
    refused_line,
    unanswered_line,
)
from headrace.broker.gateway.batches.batch_object import batch_object
from headrace.broker.gateway.batches.input_reader import InputReader
from headrace.broker.gateway.batches.lines import ENDPOINTS, FileCheck, LineRequest, split_lines
from headrace.broker.gateway.batches.names import line_request_id
from headrace.broker.gateway.batches.outcomes_followed import OutcomesFollowed
from headrace.broker.gateway.batches.plan import (
    CHUNK,
    GRACE_MS,
    RunMemory,
    Step,
    ending_of,
    first_given_up,
    next_step,
    stop_code,
)
from headrace.broker.gateway.batches.records import (
    SOURCE,
    AnswerLine,
    AnswersPiece,
    BatchCreated,
    BatchEnded,
    BatchFinished,
    BatchProgress,
    BatchRecord,
    BatchValidated,
    LineComplaint,
)
from headrace.broker.gateway.batches.store import BatchStore, FoldedBatch
from headrace.broker.submission import Submission, submission
from headrace.schemas.codec import encode_cancel
from headrace.schemas.control import Cancel
from headrace.schemas.topics import control_topic, requests_topic, results_topic

_SUBMIT_S: Final = 30.0
_FLUSH_BYTES: Final = 256 * 1024
_FLUSH_AFTER_MS: Final = 1_000
_IDLE_S: Final = 0.2
_LOOK_EVERY_MS: Final = 2_000
"""Interval of looks at what others write about the batch (a cancel), while this run writes nothing itself."""
_SEEN_EVERY_MS: Final = 60_000
_GONE: Final = LineComplaint(
    code="records_gone", message="The batch's file or its records are no longer kept: create it again."
)


@dataclass(slots=True)
class _Unwritten:
    """Answers that are not written yet, by line."""

    lines: dict[int, AnswerLine] = field(default_factory=dict)
    bytes: int = 0
    since_ms: int = 0

    def add(self, line: AnswerLine, now_ms: int) -> None:
        if not self.lines:
            self.since_ms = now_ms
        if line.number not in self.lines:
            self.lines[line.number] = line
            self.bytes += len(line.text)

    def is_due(self, now_ms: int) -> bool:
        return bool(self.lines) and (self.bytes >= _FLUSH_BYTES or now_ms >= self.since_ms + _FLUSH_AFTER_MS)


class BatchRun:
    """Run of one batch. A second run of the same batch at the same time does no harm.

    Args:
        store: The batches topic.
        submissions: The lanes and the control topic.
        prefix: The topics' prefix.
        created: The batch.
        utc_ms: The wall clock.
    """

    def __init__(
        self, store: BatchStore, submissions: SubmitLog, prefix: str, created: BatchCreated, utc_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._submissions = submissions
        self._prefix = prefix
        self._created = created
        self._utc_ms = utc_ms
        self._folded = FoldedBatch(store, created)
        self._outcomes = OutcomesFollowed(store.log, results_topic(prefix), created, utc_ms)
        self._input = InputReader(store, created)
        self._memory = RunMemory()
        self._unwritten = _Unwritten()
        self._looked_ms = self._noted_ms = 0

    async def run(self) -> None:
        """Drive the batch to its end.

        Raises:
            HeadraceError: Kafka does not do as asked; another run will continue.
        """
        try:
            await self._run()
        except PositionGone:
            self._folded.state.apply(BatchEnded(status="failed", errors=(_GONE,)), self._utc_ms(), 0)
            await self._finish()

    async def _run(self) -> None:
        ends = await self._outcomes.ends()  # before the fold: a request that it announces may be answered already
        await self._refresh()
        self._outcomes.start(self._folded.state, ends)
        self._memory.submitted = self._folded.state.done
        self._noted_ms = self._utc_ms()
        while (step := next_step(self._folded.state, self._memory, self._utc_ms())) is not Step.FINISH:
            match step:
                case Step.VALIDATE:
                    await self._validate()
                case Step.END:
                    await self._write(BatchEnded(status=ending_of(self._folded.state)))
                case Step.LOOK:
                    await self._collect(wait=False)
                    self._memory.has_looked = self._outcomes.is_past_start()
                case Step.CANCEL:
                    await self._cancel()
                case Step.GIVE_UP:
                    await self._give_up()
                case Step.SUBMIT:
                    await self._submit()
                    await self._collect(wait=False)
                case _:
                    await self._collect(wait=True)
        await self._finish()

    async def _write(self, record: BatchRecord) -> None:
        """Append a record, and fold all up to it."""
        await self._store.append(self._created, record)
        await self._refresh()

    async def _refresh(self) -> None:
        self._looked_ms = self._utc_ms()
        await self._folded.refresh()

    async def _finish(self) -> None:
        state, created = self._folded.state, self._created
        finished = BatchFinished(
            id=created.id,
            tenant=created.tenant,
            batch=batch_object(state),
            end=state.end,
            output_bytes=state.output_bytes,
            error_bytes=state.error_bytes,
        )
        await self._store.list_in_catalogue(finished)

    # ------------------------------------------------------------------ requests

    async def _validate(self) -> None:
        check = FileCheck(self._created.endpoint, self._may_use_model)
        async for line in split_lines(self._store.parts(self._created.source, self._created.input_file_id)):
            check.add(line)
            if check.is_over:
                break
        if complaints := check.verdict():
            await self._write(BatchEnded(status="failed", errors=complaints))
        else:
            await self._write(BatchValidated(lines=check.requests, model=check.model))

    def _may_use_model(self, model: str) -> bool:
        models = self._created.models
        return models is None or any(fnmatchcase(model, pattern) for pattern in models)

    async def _submit(self) -> None:
        """Announce the next requests, and put them on their lane unless the batch was stopped meanwhile."""
        state, first = self._folded.state, self._memory.submitted
        end = state.lines or 0
        upto = min(first + CHUNK, end)
        await self._write(BatchProgress(done=first, upto=upto, seen=self._seen()))
        if state.ended is not None or stop_code(state, self._utc_ms()) is not None:
            return
        topic, pending = requests_topic(self._prefix, self._created.lane), list[Pending]()
        for number, request in await self._input.between(first, upto):
            if number in state.answered:
                continue
            prepared = self._prepared(number, request)
            if isinstance(prepared, AnswerLine):
                self._unwritten.add(prepared, self._utc_ms())
            else:
                pending.append(await self._submissions.begin(topic, prepared.record, timeout_s=_SUBMIT_S))
        for each in pending:
            await each.wait(timeout_s=_SUBMIT_S)
        self._memory.submitted = upto
        if upto == end:
            await self._write(BatchProgress(done=upto, upto=upto, seen=self._seen()))

    def _prepared(self, number: int, request: LineRequest) -> Submission | AnswerLine:
        created, request_id = self._created, self._request_id(number)
        fields = {
            "id": request_id,
            "endpoint": ENDPOINTS[created.endpoint],
            "tenant": created.tenant,
            "body": request.body,
            "metadata": {CUSTOM_ID: request.custom_id},
        }
        try:
            return submission(fields, lane=created.lane, source=SOURCE)
        except InvalidRequest as reason:
            return refused_line(request_id, request.custom_id, number, str(reason))

    def _request_id(self, number: int) -> str:
        created, results, log = self._created, self._created.results, self._store.log

        def is_home(key: bytes) -> bool:
            return log.partition_of(key, len(results.ends)) == results.home

        return line_request_id(created.tenant, created.id, number, is_home)

    # ------------------------------------------------------------------ answers

    async def _collect(self, *, wait: bool) -> None:
        """Read the next outcomes, write what is due; wait a moment if there was nothing to do."""
        state, found = self._folded.state, await self._outcomes.read()
        for number, outcome in found:
            if number not in state.answered:
                now_ms = self._utc_ms()
                self._unwritten.add(outcome_line(outcome, number, stopped=stop_code(state, now_ms)), now_ms)
        now_ms = self._utc_ms()
        is_last = state.answered.count + len(self._unwritten.lines) >= (state.lines or 0)
        if self._unwritten.is_due(now_ms) or (self._unwritten.lines and is_last):
            await self._flush()
        elif now_ms >= self._noted_ms + _SEEN_EVERY_MS and self._seen():
            await self._write(
                BatchProgress(done=self._memory.submitted, upto=self._memory.submitted, seen=self._seen())
            )
            self._noted_ms = now_ms
        elif wait and not found:
            if now_ms >= self._looked_ms + _LOOK_EVERY_MS:
                await self._refresh()
            await asyncio.sleep(_IDLE_S)

    def _seen(self) -> dict[int, int]:
        """Return the offsets up to which all outcomes are written; a successor begins there."""
        return {} if self._unwritten.lines else self._outcomes.seen_here()

    async def _flush(self) -> None:
        """Write the answers, in pieces that the topic takes; the last one says what was seen."""
        held, self._unwritten = list(self._unwritten.lines.values()), _Unwritten()
        seen = self._outcomes.seen_here()
        begin = size = 0
        for place, line in enumerate(held):
            if size and size + len(line.text) > _FLUSH_BYTES:
                await self._append_lines(held[begin:place], {})
                begin, size = place, 0
            size += len(line.text)
        await self._append_lines(held[begin:], seen)
        await self._refresh()
        self._noted_ms = self._utc_ms()

    async def _append_lines(self, lines: Sequence[AnswerLine], seen: dict[int, int]) -> None:
        try:
            await self._store.append(self._created, AnswersPiece(tuple(lines), seen))
        except InvalidRequest:
            if len(lines) > 1:
                for line in lines:
                    await self._append_lines([line], {})
                lines = ()
            else:
                lines = [self._oversized(line) for line in lines]
            await self._store.append(self._created, AnswersPiece(tuple(lines), seen))

    def _oversized(self, line: AnswerLine) -> AnswerLine:
        custom_id = str(json.loads(line.text)[CUSTOM_ID])
        return oversized_line(self._request_id(line.number), custom_id, line.number, line.tokens)

    # ------------------------------------------------------------------ stopping

    async def _cancel(self) -> None:
        """Cancel the requests without an answer that may be on their lane."""
        state, tenant = self._folded.state, self._created.tenant
        pending: list[Pending] = []
        for number in list(state.answered.missing(0, state.upto)):
            if number in self._unwritten.lines:
                continue
            cancel = Cancel(id=self._request_id(number), tenant=tenant)
            record = encode_cancel(cancel, source=SOURCE, time=datetime.fromtimestamp(self._utc_ms() / 1_000, UTC))
            topic = control_topic(self._prefix)
            pending.append(await self._submissions.begin(topic, record, timeout_s=_SUBMIT_S))
            if len(pending) >= CHUNK:
                for each in pending:
                    await each.wait(timeout_s=_SUBMIT_S)
                pending.clear()
        for each in pending:
            await each.wait(timeout_s=_SUBMIT_S)
        self._memory.cancelled_ms = self._utc_ms()

    async def _give_up(self) -> None:
        """Answer the next requests that will have no outcome."""
        state, now_ms = self._folded.state, self._utc_ms()
        is_over = now_ms >= (self._memory.cancelled_ms or 0) + GRACE_MS
        first, code = first_given_up(state, is_over=is_over), stop_code(state, now_ms)
        if first is None or code is None:
            return
        for number, request in await self._input.between(first, min(first + CHUNK, state.lines or 0)):
            if number not in state.answered:
                line = unanswered_line(self._request_id(number), request.custom_id, number, code)
                self._unwritten.add(line, now_ms)
        await self._flush()
