"""A receiver that remembers every call; `GET /calls` tells.

A call to /slow… is answered after two seconds, so that a controller can be stopped or killed with calls in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

calls: list[dict[str, object]] = []


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: request after request, until the caller closes it or is killed."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
            }
            await reader.readexactly(int(headers.get("content-length", 0)))
            if method == "GET":
                body = json.dumps(calls).encode()
            else:
                body = b""
                calls.append(
                    {
                        "path": path,
                        "webhook_id": headers.get("webhook-id"),
                        "possible_duplicate": headers.get("timer-possible-duplicate") == "true",
                        "peer": writer.get_extra_info("peername")[0],
                    }
                )
                if path.startswith("/slow"):
                    await asyncio.sleep(2)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "0.0.0.0", 9000, backlog=1024)
    await server.serve_forever()


asyncio.run(main())
