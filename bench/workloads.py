"""What is measured: the workloads of docs/performance.md, each a list of rows of one kind, and its goals.

A row is a program with its arguments by the contract of programs/contract.hpp; the first is ours, and
`limit` is the name of the one that the others are held against. Names with a ';' stand in groups, as in
"one row; ours".
"""
from dataclasses import dataclass, field

from goals import Goal, at_least, at_most


@dataclass
class Row:
    name: str
    program: str                 # a key of peers.py, or pgbench
    workload: str
    connections: int = 8
    tasks: int = 64
    threads: int = 1
    tls: bool = False
    far: bool = False            # through a road that takes 20 ms there and back


@dataclass
class Workload:
    key: str
    title: str
    unit: str
    rows: list = field(default_factory=list)
    goals: list = field(default_factory=list)
    limit: str = "libpq"
    kind: str = "contract"       # or the name of a function in special, service, api or gateway


def rows(workload, *programs, **settings):
    return [Row(program, program, workload, **settings) for program in programs]


# What a reader must know of a peer's rows, wherever they stand.
NOTES = {
    "pgbench": "8 clients without a queue of tasks before them, so its latency is that of a statement alone; "
               "text format, nothing is decoded",
    "libpqxx": "blocks: a thread for each connection and no queue of tasks, so its latency is that of a statement "
               "alone; many rows by its stream_from, which is COPY in text",
    "psycopg": "with psycopg_pool; many rows by a cursor on the server, 1,000 at a time; "
               "Debian has it without its part in C",
    "asyncpg": "its pool resets a session with a statement each time that a connection comes back; many rows by a cursor, 1,000 at a time",
    "pg": "text format, as node has no other",
    "postgres": "text format; one statement at a time on a connection (max_pipeline 1) unless multiplexed, where "
                "it pipelines, as it does by default; many rows by a cursor, 1,000 at a time",
    "tokio-postgres": "a list of connections under a lock, as it has no pool; no TLS, as Debian has no crate for it",
}

EVERYBODY = "ours", "libpq", "libpqxx", "psycopg", "asyncpg", "pg", "postgres", "tokio-postgres", "pgx"
SERVICES = "Go: net/http and pgx", "node: http and postgres", "node: http and pg", "Python: asyncio and asyncpg"
WAITING = "acquire; ours", "query; ours"

WORKLOADS = [
    Workload("W1", "select by key, 64 tasks on 8 connections", "statements",
             [*rows("select", *EVERYBODY), Row("pgbench", "pgbench", "select")],
             [at_least(0.97, "libpq"), at_most(1.15, "libpq", what="cpu"), at_least(1, "tokio-postgres")]),
    Workload("W1T", "select by key over TLS, 64 tasks on 8 connections", "statements",
             rows("select", "ours", "libpq", "libpqxx", "psycopg", "asyncpg", "pg", "postgres", "pgx", tls=True),
             [at_least(0.97, "libpq")]),
    Workload("W1N", "select by key, by several threads", "statements", [
        Row("1 thread; ours", "ours", "select"),
        *(Row(f"{n} threads, one io_context; ours", "ours", "select", threads=n) for n in (2, 4)),
        *(Row(f"{n} threads, an io_context and a pool each; ours", "ours", "select-apart", threads=n) for n in (2, 4)),
        *(Row(f"{n} thread{'s' * (n > 1)}; {peer}", peer, "select", threads=n)
          for n in (1, 2, 4) for peer in ("pgx", "tokio-postgres"))],
        [at_least(1, "1 thread; ours", row=f"{n} threads, {how}; ours")
         for how in ("one io_context", "an io_context and a pool each") for n in (2, 4)], limit="1 thread; ours"),
    Workload("W2", "select by key, 1,000 tasks on 8 connections", "statements",
             rows("select", "ours", "libpq", "asyncpg", "psycopg", "tokio-postgres", "pgx", tasks=1000),
             [at_least(0.97, "libpq"), at_most(1.15, "libpq", what="cpu"), at_most(1.3, "libpq", what="p99")]),
    Workload("W2M", "the same, multiplexed", "statements",
             rows("multiplexed", "ours", "libpq", "tokio-postgres", "postgres", tasks=1000),
             [at_least(0.95, "libpq"), at_least(1, "postgres")]),
    Workload("W2M1", "multiplexed, 64 tasks on 1 connection", "statements",
             rows("multiplexed", "ours", "libpq", "tokio-postgres", "postgres", connections=1),
             [at_least(0.95, "libpq"), at_least(1, "tokio-postgres")]),
    Workload("W2M4", "multiplexed, 256 tasks on 4 connections", "statements",
             rows("multiplexed", "ours", "libpq", "tokio-postgres", "postgres", connections=4, tasks=256),
             [at_least(0.95, "libpq"), at_least(1, "tokio-postgres")]),
    Workload("W3", "batches of 64 on 1 connection, a sync each", "statements",
             rows("batch-each", "ours", "libpq", "tokio-postgres", connections=1), [at_least(0.97, "libpq")]),
    Workload("W3O", "batches of 64 on 1 connection, one sync", "statements",
             rows("batch-once", "ours", "libpq", "pgx", connections=1), [at_least(0.97, "libpq")]),
    Workload("W3F", "batches of 64 on 4 connections, one sync", "statements",
             rows("batch-once", "ours", "libpq", "pgx", connections=4, tasks=256), [at_least(0.97, "libpq")]),
    Workload("W3D", "256 tasks on 4 connections, 20 ms away", "statements", [
        Row("one at a time; ours", "ours", "select", 4, 256, far=True),
        Row("one at a time; pgx", "pgx", "select", 4, 256, far=True),
        Row("multiplexed; ours", "ours", "multiplexed", 4, 256, far=True),
        Row("multiplexed; libpq", "libpq", "multiplexed", 4, 256, far=True),
        Row("multiplexed; tokio-postgres", "tokio-postgres", "multiplexed", 4, 256, far=True),
        Row("batches of 64, a sync each; ours", "ours", "batch-each", 4, 256, far=True),
        Row("batches of 64, a sync each; libpq", "libpq", "batch-each", 4, 256, far=True),
        Row("batches of 64, one sync; ours", "ours", "batch-once", 4, 256, far=True),
        Row("batches of 64, one sync; pgx", "pgx", "batch-once", 4, 256, far=True)],
        [at_least(30, "one at a time; ours", row=f"{how}; ours")
         for how in ("multiplexed", "batches of 64, a sync each", "batches of 64, one sync")],
        limit="one at a time; ours"),
    Workload("W4", "1,000,000 rows into structs, streamed", "rows",
             rows("stream", "ours", "libpq", "libpqxx", "psycopg", "asyncpg", "postgres", "tokio-postgres",
                  "pgx", connections=1, tasks=1), [at_least(0.9, "libpq"), at_most(16, what="peak")]),
    Workload("W4C", "1,000,000 rows by COPY binary, into structs", "rows",
             rows("copy-out", "ours", "libpq", connections=1, tasks=1), [at_least(0.9, "libpq")]),
    Workload("W5", "1,000,000 rows written by COPY binary", "rows",
             rows("copy-in", "ours", "libpq", "psycopg", "asyncpg", "pgx", connections=1, tasks=1),
             [at_least(1, "psycopg", "asyncpg", "pgx"), at_most(0.12, what="cpu")]),
    Workload("W6", "acquire and release, 1 task", "leases",
             rows("acquire", "ours", "psycopg", "asyncpg", "pgx", "tokio-postgres", tasks=1), [at_most(0.5, what="cpu")]),
    Workload("W6C", "acquire and release, 64 tasks on 8 connections", "leases",
             rows("acquire", "ours", "psycopg", "asyncpg", "pgx", "tokio-postgres"), [at_most(1, what="cpu")]),
    Workload("W7", "begin, update, select, commit, 16 tasks on 8 connections", "transactions",
             rows("transaction", "ours", "libpq", "libpqxx", "psycopg", "asyncpg", "pg", "postgres",
                  "tokio-postgres", "pgx", tasks=16), [at_least(0.97, "libpq")]),
    Workload("W7O", "the same, known beforehand, in one trip", "transactions",
             rows("transaction-once", "ours", "libpq", tasks=16), [at_least(0.9, "libpq")]),
    Workload("W7D", "begin, update, select, commit, 8 tasks on 8 connections, 20 ms away", "transactions", [
        *(Row(f"four statements; {name}", name, "transaction", tasks=8, far=True)
          for name in ("ours", "libpq", "asyncpg", "postgres", "tokio-postgres", "pgx")),
        *(Row(f"in one trip; {name}", name, "transaction-once", tasks=8, far=True) for name in ("ours", "libpq"))],
        [at_most(0.8, "four statements; libpq", what="p50", row="four statements; ours"),
         at_most(0.3, "four statements; libpq", what="p50", row="in one trip; ours")],
        limit="four statements; libpq"),
    Workload("W8", "first row from a sleeping database", "milliseconds", kind="wake",
             limit="the start of PostgreSQL",
             goals=[Goal(5, "p50", "1 caller; ours", ("the start of PostgreSQL",), difference=True)]),
    Workload("W9", "100,000 tasks waiting on a pool of 10", "KiB each", kind="waiters",
             limit="a bare Asio coroutine on a timer",
             goals=[at_most(2, what="size", row=row) for row in WAITING]),
    Workload("W10", "an HTTP service on one thread, 64 clients of wrk", "requests", kind="services", limit="",
             goals=[at_least(1.3, *(f"{what}; {peer}" for peer in SERVICES), row=f"{what}; ours: Beast and the pool")
                    for what in ("one row", "twenty rows", "an update")]),
    Workload("W11", "API calls on kept-alive sessions, 8 at a time", "calls", kind="api_client",
             limit="libcurl's multi interface", goals=[at_least(0.9, "libcurl's multi interface")]),
    Workload("W12", "the gateway over TLS, pgbench -S, prepared", "statements", kind="gateway", limit="",
             goals=[goal for many in (8, 64) for goal in (
                 at_least(1, f"{many} clients; PgBouncer", row=f"{many} clients; ours"),
                 at_most(1, f"{many} clients; PgBouncer", what="cpu", row=f"{many} clients; ours"),
                 at_most(1, f"{many} clients; PgBouncer", what="p99", row=f"{many} clients; ours"))]),
    Workload("W12C", "opening a session over TLS, by a password, up to its first row", "sessions",
             kind="gateway_sessions", limit="",
             goals=[at_least(2.5, f"{many} clients; PostgreSQL itself", row=f"{many} clients; ours")
                    for many in (1, 8)]),
    Workload("W13", "the API of `bit serve`, 32 clients of wrk over TLS", "calls", kind="api_server", limit="",
             goals=[at_least(0.5, "GET /db/NAME; a bare Beast server", row="GET /db/NAME; ours"),
                    at_most(2, "GET /db/, 1,000 databases; the encoding of its answer", what="cpu",
                            row="GET /db/, 1,000 databases; ours"),
                    at_least(4250, row="POST /query, SELECT 1; ours")]),
    Workload("W13D", "an answer of 3,000 rows into values", "answers", kind="decoding", limit="Boost.JSON's parse",
             goals=[at_most(1.5, "Boost.JSON's parse", what="cpu")]),
    Workload("W14", "the start of the command, `bit --version`", "starts", kind="command_start", limit="psql",
             goals=[at_most(2, "psql", what="p50")]),
]

# The plots: throughput and CPU by concurrency; 64 tasks are those of W1, and 1,000 those of W2.
SWEEP = [(program, tasks) for tasks in (1, 8, 256) for program in ("ours", "libpq", "tokio-postgres", "pgx")]
