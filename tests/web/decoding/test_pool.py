"""Several processes that decode, asked in an event loop."""

from __future__ import annotations

import asyncio
import sys

from support import costly_images as costly
from swinseg.errors import RequestError
from swinseg.web.decoding import pool as pool_module
from swinseg.web.decoding.pool import DecoderPool
from swinseg.web.limits import Limits

SLOW = costly.jpeg_of_scans(100, side=4000)
QUICK = costly.empty_png(20)


async def status_of(work) -> int:
    try:
        await work
    except RequestError as error:
        return error.status
    return 200


def run(limits: Limits, use):
    async def main():
        pool = DecoderPool(limits)
        await pool.start()
        try:
            return await use(pool)
        finally:
            pool.close()

    return asyncio.run(main())


def test_slow_image__does_not_stop_the_others():
    async def use(pool):
        slow = asyncio.ensure_future(status_of(pool.decode(SLOW)))
        await asyncio.sleep(0)
        quick = [await status_of(pool.decode(QUICK)) for _ in range(5)]
        assert not slow.done()
        return quick, await slow

    assert run(Limits(decode_seconds=0.8, decoders=2), use) == ([200] * 5, 422)


def test_all_at_work__is_told():
    async def use(pool):
        slow = asyncio.ensure_future(status_of(pool.decode(SLOW)))
        await asyncio.sleep(0)
        told = await status_of(pool.decode(QUICK))
        return told, await slow, await status_of(pool.decode(QUICK))

    assert run(Limits(decode_seconds=0.6, decoders=1, seconds=0.4), use) == (503, 422, 200)


def test_client_that_leaves__frees_no_process_that_works():
    async def use(pool):
        slow = asyncio.ensure_future(pool.decode(SLOW))
        await asyncio.sleep(0.05)
        slow.cancel()
        return await status_of(pool.decode(QUICK)), slow.cancelled()

    assert run(Limits(decode_seconds=0.5, decoders=1), use) == (200, True)


def test_no_process__is_not_working_until_one_starts(monkeypatch):
    monkeypatch.setattr(pool_module, '_SECONDS_BETWEEN_STARTS', 0.05)
    python = sys.executable
    monkeypatch.setattr(sys, 'executable', '/nowhere/python')

    async def use(pool):
        assert not pool.is_working
        monkeypatch.setattr(sys, 'executable', python)
        for _ in range(1000):
            if pool.is_working:
                break
            await asyncio.sleep(0.02)
        return await status_of(pool.decode(QUICK))

    assert run(Limits(), use) == 200


def test_process_that_cannot_be_replaced__is_told(monkeypatch):
    async def use(pool):
        pool._decoders[0].close()
        monkeypatch.setattr(sys, 'executable', '/nowhere/python')
        pool._decoders[0]._is_closed = False
        told = await status_of(pool.decode(QUICK))
        await asyncio.sleep(0)
        return told, pool.is_working

    assert run(Limits(decoders=1), use) == (503, False)
