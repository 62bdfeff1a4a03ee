"""Uploads: forms that are wrong, spoilt, slow, too large or broken off."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest

from headrace.broker.gateway.batches.uploads import UploadLimits
from headrace.schemas.topics import batches_topic
from tests.unit.gateway.batches.world import (
    PREFIX,
    Replica,
    World,
    jsonl,
    line,
    unled,
    uploaded,
    world,
)

pytestmark = pytest.mark.slow  # each starts a replica

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{"a":1}\n\r\n--b--\r\n'
)


async def test_a_file_above_the_bound_is_refused_and_not_there() -> None:
    async with world() as there, there.replica(uploads=UploadLimits(bytes_max=100_000)) as replica:
        client = replica.client()
        with pytest.raises(openai.APIStatusError) as refused:
            await uploaded(client, b"x" * 200_000)
        assert refused.value.status_code == 413
        assert [each.id async for each in client.files.list()] == []


async def broken_off(there: World, replica: Replica) -> None:
    assert replica.server is not None
    _, writer = await asyncio.open_connection(replica.server.host, replica.server.port)
    head = "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\nContent-Length: 2000000\r\n"
    form = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    writer.write((head + "Content-Type: multipart/form-data; boundary=b\r\n\r\n" + form).encode() + b"x" * 1_000_000)
    await writer.drain()
    async with asyncio.timeout(10):
        while not there.broker.kafka.committed(batches_topic(PREFIX)):  # noqa: ASYNC110 — a count of the double
            await asyncio.sleep(0.01)
    writer.close()
    await asyncio.sleep(0.05)
    assert [each.id async for each in replica.client().files.list()] == []


async def test_an_upload_that_breaks_off_leaves_nothing_visible() -> None:
    async with unled() as there, there.replica() as replica:
        await broken_off(there, replica)


def slow_form(*, waits_s: float) -> aiohttp.MultipartWriter:
    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(waits_s)

    form = aiohttp.MultipartWriter("form-data")
    form.append(trickle(), {"Content-Type": "text/plain"}).set_content_disposition("form-data", name="file")
    return form


async def test_the_slow_uploads_of_one_tenant_hold_up_no_other() -> None:
    async with unled() as there, there.replica() as replica, aiohttp.ClientSession() as session:
        assert replica.server is not None
        url, headers = replica.server.make_url("/v1/files"), {"Authorization": "Bearer ada"}
        async with asyncio.TaskGroup() as tasks:
            slow = [
                tasks.create_task(asyncio.wait_for(session.post(url, headers=headers, data=slow_form(waits_s=0.5)), 60))
                for _ in range(40)
            ]
            await asyncio.sleep(0.5)
            async with asyncio.timeout(5):
                assert await uploaded(replica.client("eve"), jsonl(line("a")))
            for each in slow:
                each.cancel()


async def test_an_upload_that_trickles_is_ended() -> None:
    limits = UploadLimits(part_s=0.3)
    async with unled() as there, there.replica(uploads=limits) as replica, aiohttp.ClientSession() as session:
        assert replica.server is not None
        form, headers = slow_form(waits_s=0.05), {"Authorization": "Bearer ada"}
        async with (
            asyncio.timeout(5),
            session.post(replica.server.make_url("/v1/files"), headers=headers, data=form) as answer,
        ):
            assert answer.status == 408


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"purpose": "batch"}, "file"),
        ({"file": b"x"}, "purpose"),
        ({"file": b"x", "purpose": "fine-tune"}, "purpose"),
        ({"file": b"x", "purpose": "batch", "expires_after[seconds]": "60"}, "expires_after.seconds"),
    ],
    ids=range(4),
)
async def test_a_wrong_form_is_told(alone: Replica, form: dict[str, Any], param: str) -> None:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in form.items():
        data.add_field(name, value, **({"filename": "a"} if name == "file" else {}))
    assert alone.server is not None
    headers = {"Authorization": "Bearer ada"}
    url = alone.server.make_url("/v1/files")
    async with aiohttp.ClientSession(headers=headers) as http, http.post(url, data=data) as answer:
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, param)


def spoilt(dice: random.Random) -> bytes:
    """The form with some bytes changed, missing or added."""
    form = bytearray(FORM)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(form) + 1)
        match dice.randrange(4):
            case 0:
                form[at : at + 1] = dice.randbytes(1)
            case 1:
                del form[at : at + dice.randint(1, 30)]
            case 2:
                form[at:at] = dice.randbytes(dice.randint(1, 50))
            case _:
                del form[at:]
    return bytes(form)


@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionParam")
async def test_a_spoilt_form_is_taken_or_refused_and_ends_nothing(alone: Replica) -> None:
    assert alone.server is not None
    dice, taken, url = random.Random(7), 0, alone.server.make_url("/v1/files")
    kinds = [*["multipart/form-data; boundary=b"] * 8, "multipart/form-data", "multipart/mixed; boundary=b", "text/x"]
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer ada"}) as http:
        for _ in range(400):
            headers = {"Content-Type": dice.choice(kinds)}
            async with http.post(url, data=spoilt(dice), headers=headers) as answer:
                assert answer.status in {200, 400, 415}, await answer.text()
                taken += answer.status == 200
    assert len([each async for each in alone.client().files.list()]) == taken > 0
