"""The service of beast.cpp on asyncio and asyncpg, with as much HTTP as wrk speaks."""
import asyncio
import json
import sys

import asyncpg

try:
    import uvloop
    uvloop.install()
except ImportError:
    pass


async def answer(pool, method, path):
    number = int(path.rsplit("/", 1)[1])
    if method == "POST":
        tag = await pool.execute("UPDATE account SET seen = seen + 1 WHERE id = $1", number)
        return {"changed": int(tag.rsplit(" ", 1)[1])}
    if path.startswith("/accounts/"):
        rows = await pool.fetch("SELECT id, name, balance FROM account WHERE id >= $1 ORDER BY id LIMIT 20", number)
        return [dict(row) for row in rows]
    return dict(await pool.fetchrow("SELECT id, name, balance FROM account WHERE id = $1", number))


async def main(dsn, connections):
    pool = await asyncpg.create_pool(dsn, min_size=int(connections), max_size=int(connections))

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b" ", 2)
                body = json.dumps(await answer(pool, method.decode(), path.decode())).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                             + str(len(body)).encode() + b"\r\n\r\n" + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
