"""This computer as a host."""

import asyncio
import contextlib

from llama_tui.hosts.local import LocalHost
from tests.test_contracts import free_port


async def test_a_connection_that_is_open_ends_with_its_forward() -> None:
    """Quietly: the loop has nothing to complain of."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port, local = server.sockets[0].getsockname()[1], free_port()
    async with server, LocalHost() as host:
        async with host.forward(port, local):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write(b"hello")
            await writer.drain()
            while not any("relay" in repr(task) for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert not complaints
