"""Runs Python blocks of the pages as they stand, on a broker in memory in place of the Kafka that they name.

A block is changed in two ways, and a third in `simulated`: clients and readers get the broker's connection, and
`asyncio.run(main())` is awaited, since a loop runs already. Names that belong to the reader's own service (`send_mail`,
`body`, …) are given here; each of them notes that it was called. A block that would read for ever ends once one was. A
block with sync clients runs in a thread, on a broker of theirs.
"""

import ast
import asyncio
import inspect
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import CodeType
from typing import Any

import aiohttp

from headrace.broker.client import GenerationClient, Submission, submission
from headrace.broker.sync_client import SyncGenerationClient
from headrace.broker.testing import Asked, MemoryBroker, Said, SyncMemoryBroker
from tests.unit.pages.blocks import Block
from tests.unit.pages.simulated import ADDRESS, addressed, close_clients, is_of_the_sdk, simulated
from tests.unit.service.rig import until

ASYNC = ("GenerationClient", "ResultReader", "DeadLetterReader", "ChunkReader")
CLIENTS = frozenset({*ASYNC, *(f"Sync{name}" for name in ASYNC)})
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
TOPICS = ("lead-mailer.dead-letters", "acme-mailer.dead-letters")
WITHIN_S = 10.0
_CONNECTION = "connection_in_memory"


class InMemory(ast.NodeTransformer):
    """Gives clients the broker in memory, and awaits what a script would run."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A client or reader that names an address, or a connection of its own making."""
        self.generic_visit(node)
        if is_of_the_sdk(node):
            return addressed(node)
        if not isinstance(node.func, ast.Name) or node.func.id not in CLIENTS:
            return node
        given = [each.value for each in node.keywords if each.arg == "connection"]
        if given and not isinstance(given[0], ast.Name):
            return node  # a `MemoryBroker`'s, in a test
        others = [each for each in node.keywords if each.arg != "connection"]
        in_memory = ast.keyword("connection", ast.Name(_CONNECTION, ast.Load()))
        return ast.Call(node.func, [], [*others, in_memory])

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """`asyncio.run(main())`."""
        self.generic_visit(node)
        match node.value:
            case ast.Call(func=ast.Attribute(value=ast.Name("asyncio"), attr="run"), args=[ran]):
                return ast.Expr(ast.Await(ran))
        return node


def compiled(block: Block) -> CodeType:
    """The block as it is run."""
    tree = ast.fix_missing_locations(InMemory().visit(ast.parse(block.text)))
    code: CodeType = compile(tree, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


class Page:
    """What a web page would be, as the block about streams has it."""

    def __init__(self, called: Callable[..., None]) -> None:
        """`called` is told of each call."""
        self.clear = called
        self.write = called


def answer(asked: Asked) -> str | Said:
    """What the model says: it refuses one request, so that there is a dead letter."""
    if asked.request_id == "lead-7-email":
        return Said(400, {"error": {"message": "No.", "type": "invalid_request_error", "code": "invalid_prompt"}})
    return "Dear Ada"


async def your_client(base_url: str) -> None:
    """A stream that the server may cut."""
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk-simulated"}) as session:
        try:
            async with session.post(f"{base_url}/chat/completions", json=BODY | {"stream": True}) as said:
                await said.read()
        except aiohttp.ClientError:
            return


class Enough(BaseException):
    """Ends a block that would read for ever."""


def run_blocking(block: Block) -> list[tuple[Any, ...]]:
    """The same for a block without an event loop."""
    calls: list[tuple[Any, ...]] = []

    def called(*given: Any) -> None:
        calls.append(given)
        if _reads_for_ever(block):
            raise Enough

    with SyncMemoryBroker(answer, topics=TOPICS) as broker:
        with SyncGenerationClient(connection=broker.connection) as generations:
            for sent in _sent_before():
                generations.outcome_of(sent)
        given = {"print": called, "send_mail": called, "body": BODY}
        names = {"__name__": "__main__", _CONNECTION: broker.connection, **given}
        with suppress(Enough):
            exec(compiled(block), names)  # noqa: S102  # our own pages
    return calls


async def run(block: Block) -> list[tuple[Any, ...]]:
    """Run the block to its end, or until something of the reader's own was called; what those calls were given.

    Raises:
        TimeoutError: Neither happened.
    """
    if "import Sync" in block.text or ", Sync" in block.text:
        async with asyncio.timeout(WITHIN_S):
            return await asyncio.to_thread(run_blocking, block)
    calls: list[tuple[Any, ...]] = []
    happened = asyncio.Event()

    def called(*given: Any) -> None:
        calls.append(given)
        happened.set()

    async def awaited(*given: Any) -> None:
        called(*given)

    async with (
        simulated(block) as openai,
        MemoryBroker(answer, settings={"replies": {"allow": ["acme.answers"]}}, topics=TOPICS) as broker,
    ):
        await _before(broker)
        names = {
            "__name__": "__main__",
            ADDRESS: openai,
            _CONNECTION: broker.connection,
            "print": called,
            "send_mail": awaited,
            "tell_somebody": awaited,
            "page": Page(called),
            "body": BODY,
            "request_id": "lead-9001-email",
            "your_client": your_client,
        }
        running = asyncio.create_task(_run(compiled(block), names), name=str(block))
        waiting = asyncio.create_task(happened.wait(), name="called")
        async with asyncio.timeout(WITHIN_S):
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and _reads_for_ever(block):
                running.cancel()
            waiting.cancel()
            await asyncio.wait({running, waiting})
        if not running.cancelled() and (error := running.exception()) is not None:
            error.add_note(f"{block}\n{''.join(traceback.format_tb(error.__traceback__)[-1:])}")
            raise error.with_traceback(None)  # of code of its own making pytest can show no lines
    return calls


def _reads_for_ever(block: Block) -> bool:
    return "ResultReader" in block.text


async def _run(code: CodeType, names: dict[str, Any]) -> None:
    result = eval(code, names)  # noqa: S307  # our own pages
    if inspect.iscoroutine(result):
        await result
    for name, test in list(names.items()):
        if name.startswith("test_"):
            await test()
    await close_clients(names)


def _sent_before() -> list[Submission]:
    """What a reader finds: one answer and one failure, with its dead letter."""
    ids = ("lead-8841-email", "lead-7-email")
    given = [{"id": each, "tenant": "acme", "body": BODY, "metadata": {"lead": 8841}} for each in ids]
    return [submission(fields, lane="urgent") for fields in given]


async def _before(broker: MemoryBroker) -> None:
    async with GenerationClient(connection=broker.connection) as generations:
        for sent in _sent_before():
            async for _ in generations.submit_many([sent]):
                pass
    await until(lambda: len(broker.outcomes) == 2)
