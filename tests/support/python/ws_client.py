"""A client: the websockets library. Several connections at once, each with messages of all sizes, pings, and an orderly close."""

import asyncio
import sys

import websockets


async def talk(uri, number):
    async with websockets.connect(uri, max_size=None) as socket:
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            message = bytes([number]) * size
            await socket.send(message)
            assert await socket.recv() == message, size
            text = f"{number} " + "ü" * (size % 1000)
            await socket.send(text)
            assert await socket.recv() == text
        await asyncio.wait_for(await socket.ping(), 20)
    assert socket.close_code == 1000, socket.close_code


async def main():
    uri = f"ws://{sys.argv[1]}:{sys.argv[2]}/chat"
    await asyncio.gather(*(talk(uri, number) for number in range(10)))


asyncio.run(main())
