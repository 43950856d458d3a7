"""Bytes and pixels that are held at a time."""

from __future__ import annotations

import asyncio

import pytest

from swinseg.web.budgets import PixelBudget, UploadBudget


def test_pixels__in_the_order_of_coming():
    async def main():
        budget, order = PixelBudget(10), []

        async def use(name, pixels, keep, opened):
            async with budget.share(pixels) as share:
                order.append(name)
                share.shrink(keep)
                await opened.wait()

        opened = asyncio.Event()
        uses = [('a', 10, 4), ('b', 7, 7), ('c', 6, 6), ('d', 1, 1)]
        tasks = [asyncio.ensure_future(use(*one, opened)) for one in uses]
        await asyncio.sleep(0.01)
        assert order == ['a']  # b needs 7 of the 6 that are left, and nobody overtakes it.
        tasks[1].cancel()
        await asyncio.sleep(0.01)
        assert order == ['a', 'c']
        opened.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ['a', 'c', 'd']
        async with budget.share(10):  # All came back.
            return

    asyncio.run(main())


def test_uploads__the_one_that_arrives_longest_gives_way():
    budget, gone = UploadBudget(10), []
    with budget.hold() as first, budget.hold() as second, budget.hold() as third:
        for name, upload in (('first', first), ('second', second), ('third', third)):
            upload.start(lambda name=name: gone.append(name))
        first.add(4)
        second.add(4)
        third.add(2)
        assert gone == []
        third.add(1)
        assert gone == ['first']
        second.arrived()
        third.add(8)  # Nobody but itself is left to give way.
        assert gone == ['first', 'third']
        assert (first.bytes, second.bytes, third.bytes) == (0, 4, 0)
    with budget.hold() as upload:
        upload.start(lambda: pytest.fail('there is room'))
        upload.add(10)
        upload.decoded()
        assert upload.bytes == 0
