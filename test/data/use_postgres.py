"""Uses a PostgreSQL server through a driver, and prints what a program sees, a line each.

    use_postgres.py psycopg2|psycopg|asyncpg

Where the server is stands in libpq's variables; STRANGER is another authority's certificate. After
"now sleep" it waits for the end of its input, then connects once more. No session is left idle but
the one that is to end for it: the server's patience is short, and the machine may be slow.
"""
import asyncio
import os
import select
import ssl
import sys
import threading

sleeper = "SELECT pg_sleep(50)"
# Others use the same server, each with a database of its own.
active = ("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
          "AND query = '" + sleeper + "'")


def said(failure):
    """The server's own words, without the driver's before and behind them."""
    return str(failure).split("FATAL:  ")[-1].split("ERROR:  ")[-1].splitlines()[0]


def use_psycopg2():
    import psycopg2

    def connect(**other):
        session = psycopg2.connect("", **other)
        session.autocommit = True
        return session

    def value(session, sql):
        with session.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def refusal(**other):
        try:
            connect(**other)
            return "none"
        except psycopg2.OperationalError as failure:
            return said(failure)

    session = connect()
    print("query", value(session, "SELECT 6 * 7"))
    session.close()
    print("wrong key", refusal(password="v2_wrong"))
    print("unknown database", refusal(dbname="local/none"))
    print("no TLS", "TLS" if "encryption" in refusal(sslmode="disable")
          or "over TLS only" in refusal(sslmode="disable") else "let in")
    print("untrusted", "certificate verify failed" in refusal(sslrootcert=os.environ["STRANGER"]))

    def cancel():
        observer = connect()
        while value(observer, active) == 0:
            pass
        session.cancel()

    session = connect()
    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        value(session, sleeper)
    except psycopg2.Error as failure:
        print("cancelled", failure.pgcode, value(session, "SELECT 'and well'"))
    canceller.join()

    select.select([session], [], [], 60)
    try:
        value(session, "SELECT 1")
    except psycopg2.Error as failure:
        print("idle", type(failure).__name__, failure.pgcode, said(failure), session.closed)

    print("now sleep", flush=True)
    sys.stdin.read()
    print("woken", value(connect(), "SELECT 6 * 7"))


async def use_psycopg():
    import psycopg

    async def connect(**other):
        return await asyncio.wait_for(
            psycopg.AsyncConnection.connect("", autocommit=True, **other), 60)

    async def rows(session, sql, *values):
        cursor = await asyncio.wait_for(session.execute(sql, values), 60)
        return await cursor.fetchall()

    async def value(session, sql):
        return (await rows(session, sql))[0][0]

    async def refusal(**other):
        try:
            await connect(**other)
            return "none"
        except psycopg.OperationalError as failure:
            return said(failure)

    session = await connect()
    print("query", await value(session, "SELECT 6 * 7"))
    await session.close()
    print("wrong key", await refusal(password="v2_wrong"))
    print("unknown database", await refusal(dbname="local/none"))
    unencrypted = await refusal(sslmode="disable")
    print("no TLS", "TLS" if "encryption" in unencrypted or "over TLS only" in unencrypted
          else "let in")
    print("untrusted",
          "certificate verify failed" in await refusal(sslrootcert=os.environ["STRANGER"]))

    session = await connect()
    task = asyncio.ensure_future(session.execute(sleeper))
    observer = await connect()
    while await value(observer, active) == 0:
        pass
    session.cancel()
    try:
        await task
    except psycopg.Error as failure:
        print("cancelled", failure.sqlstate, await value(session, "SELECT 'and well'"))
    await observer.close()

    # It waits for its socket whatever OpenSSL holds: records must not be longer than PostgreSQL's.
    answers = [len(await rows(session,
                              "SELECT repeat('y', 400) FROM generate_series(1, %s)", count))
               for count in range(1, 300)]
    print("answers", answers == list(range(1, 300)))

    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(session.fileno(), ended.set)
    await asyncio.wait_for(ended.wait(), 60)
    asyncio.get_running_loop().remove_reader(session.fileno())
    try:
        await value(session, "SELECT 1")
    except psycopg.Error as failure:
        print("idle", type(failure).__name__, failure.sqlstate, said(failure), session.closed)

    print("now sleep", flush=True)
    sys.stdin.read()
    woken = await connect()
    print("woken", await value(woken, "SELECT 6 * 7"))
    await woken.close()


async def use_asyncpg():
    import asyncpg

    def trusting(file):
        return ssl.create_default_context(cafile=file)

    async def connect(**other):
        return await asyncpg.connect(
            **{"ssl": trusting(os.environ["PGSSLROOTCERT"]), "timeout": 60, **other})

    async def refusal(**other):
        try:
            await connect(**other)
            return "none"
        except asyncpg.PostgresError as failure:
            return failure.sqlstate
        except ssl.SSLCertVerificationError:
            return "verify"

    session = await connect()
    print("query", await session.fetchval("SELECT 6 * 7"))
    await session.close()
    print("wrong key", await refusal(password="v2_wrong"))
    print("unknown database", await refusal(database="local/none"))
    print("no TLS", await refusal(ssl=False))
    print("untrusted", await refusal(ssl=trusting(os.environ["STRANGER"])))

    # A cancelled task cancels its statement on the server, and the connection goes on.
    ended = asyncio.Event()
    session = await connect()
    session.add_termination_listener(lambda _: ended.set())
    task = asyncio.ensure_future(session.execute(sleeper))
    observer = await connect()
    while await observer.fetchval(active) == 0:
        pass
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled", await session.fetchval("SELECT 'and well'"))
    while await observer.fetchval(active) != 0:
        pass
    await observer.close()

    await asyncio.wait_for(ended.wait(), 60)
    try:
        await session.fetchval("SELECT 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        print("idle", type(failure).__name__, failure, session.is_closed())

    print("now sleep", flush=True)
    sys.stdin.read()
    woken = await connect()
    print("woken", await woken.fetchval("SELECT 6 * 7"))
    await woken.close()


if sys.argv[1] == "psycopg2":
    use_psycopg2()
else:
    asyncio.run({"psycopg": use_psycopg, "asyncpg": use_asyncpg}[sys.argv[1]]())
