"""asyncpg and psycopg 3 by the contract:

    peer.py asyncpg|psycopg WORKLOAD DSN CONNECTIONS TASKS SECONDS [THREADS]
"""
import asyncio
import json
import os
import resource
import sys
import time

SELECT = "SELECT name, balance FROM account WHERE id = $1"
UPDATE = "UPDATE account SET seen = seen + 1 WHERE id = $1"
SELECT_S, UPDATE_S = SELECT.replace("$1", "%s"), UPDATE.replace("$1", "%s")  # as psycopg writes them
ENTRIES = "SELECT id, label, amount FROM entry"
SINK = "CREATE TEMPORARY TABLE sink (id int, label text, amount double precision)"
SUM_SINK = "SELECT (sum(id) + sum(length(label)) + sum(amount * 2))::bigint FROM sink"
ROWS = 1_000_000


class Keys:
    def __init__(self, seed):
        self.state = seed % 2147483646 + 1

    def next(self):
        self.state = self.state * 48271 % 2147483647
        return self.state % 100_000 + 1


class Asyncpg:
    def __init__(self, dsn, connections):
        self.dsn, self.connections = dsn, connections

    async def open(self):
        import asyncpg
        self.pool = await asyncpg.create_pool(self.dsn, min_size=self.connections,
                                              max_size=self.connections)

    async def select(self, key):
        row = await self.pool.fetchrow(SELECT, key)
        return row["balance"] + len(row["name"])

    async def transaction(self, own):
        async with self.pool.acquire() as one, one.transaction():
            await one.execute(UPDATE, own)
            await one.fetchrow(SELECT, own)

    async def acquire(self):
        async with self.pool.acquire():
            pass

    async def stream(self):
        total = 0
        async with self.pool.acquire() as one, one.transaction():
            async for row in one.cursor(ENTRIES, prefetch=1_000):
                total += row["id"] + len(row["label"]) + int(row["amount"] * 2)
        return total

    async def copy_in(self):
        async with self.pool.acquire() as one:
            await one.execute("DROP TABLE IF EXISTS sink; " + SINK)
            await one.copy_records_to_table(
                "sink", records=((i, f"label-{i % 1000}", i * 0.5) for i in range(1, ROWS + 1)))
            return await one.fetchval(SUM_SINK)

    async def close(self):
        await self.pool.close()


class Psycopg:
    def __init__(self, dsn, connections):
        self.dsn, self.connections = dsn, connections

    async def open(self):
        from psycopg_pool import AsyncConnectionPool
        self.pool = AsyncConnectionPool(self.dsn, min_size=self.connections, max_size=self.connections,
                                        timeout=300, kwargs={"autocommit": True}, open=False)
        await self.pool.open(wait=True)

    async def select(self, key):
        async with self.pool.connection() as one:
            cursor = await one.execute(SELECT_S, (key,), prepare=True, binary=True)
            row = await cursor.fetchone()
        return row[1] + len(row[0])

    async def transaction(self, own):
        async with self.pool.connection() as one, one.transaction():
            await one.execute(UPDATE_S, (own,), prepare=True)
            cursor = await one.execute(SELECT_S, (own,), prepare=True, binary=True)
            await cursor.fetchone()

    async def acquire(self):
        async with self.pool.connection():
            pass

    async def stream(self):
        total = 0
        # On the server: a row at a time in single-row mode takes it ten times as long.
        async with self.pool.connection() as one, one.transaction(), one.cursor("entries", binary=True) as cursor:
            cursor.itersize = 1_000
            await cursor.execute(ENTRIES)
            async for number, label, amount in cursor:
                total += number + len(label) + int(amount * 2)
        return total

    async def copy_in(self):
        async with self.pool.connection() as one:
            await one.execute("DROP TABLE IF EXISTS sink")
            await one.execute(SINK)
            async with one.cursor() as cursor:
                async with cursor.copy("COPY sink FROM STDIN (FORMAT binary)") as copy:
                    copy.set_types(["int4", "text", "float8"])
                    for i in range(1, ROWS + 1):
                        await copy.write_row((i, f"label-{i % 1000}", i * 0.5))
                await cursor.execute(SUM_SINK)
                row = await cursor.fetchone()
        return row[0]

    async def close(self):
        await self.pool.close()


def peak_memory():
    """The most memory this process has had, in KiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def percentile(times, share):
    return times[min(int(share * len(times)), len(times) - 1)] * 1e6 if times else 0


async def main(library, workload, dsn, connections, tasks, seconds, threads="1"):
    peer = {"asyncpg": Asyncpg, "psycopg": Psycopg}[library](dsn, int(connections))
    if threads != "1" or workload not in ("select", "transaction", "acquire", "stream", "copy-in"):
        sys.exit(3)
    await peer.open()
    checksum, keys = 0, Keys(12_345)
    for _ in range(int(os.environ.get("BENCH_FIRST", 1_000))):
        checksum += await peer.select(keys.next())

    times, count = [], 0
    until = time.perf_counter() + float(seconds)

    async def task(number):
        keys = Keys(number)
        now = time.perf_counter()
        while now < until:
            if workload == "select":
                await peer.select(keys.next())
            elif workload == "transaction":
                await peer.transaction(number + 1)
            else:
                await peer.acquire()
                if int(tasks) > 1:
                    await asyncio.sleep(0)  # a task that never waits would let no other run
            then = time.perf_counter()
            times.append(then - now)
            now = then

    used = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    if workload in ("stream", "copy-in"):
        while True:
            now = time.perf_counter()
            checksum = await (peer.stream() if workload == "stream" else peer.copy_in())
            times.append(time.perf_counter() - now)
            count += ROWS
            if time.perf_counter() >= until:
                break
    else:
        await asyncio.gather(*(task(number) for number in range(int(tasks))))
        count = len(times)
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    times.sort()
    print(json.dumps({
        "operations": count, "seconds": took,
        "cpu": after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        "p50": percentile(times, .5), "p90": percentile(times, .9), "p99": percentile(times, .99),
        "p999": percentile(times, .999), "errors": 0, "sum": checksum,
        "peak": peak_memory()}))
    await peer.close()


if __name__ == "__main__":
    try:
        import uvloop
        uvloop.install()
    except ImportError:
        pass
    asyncio.run(main(*sys.argv[1:]))
