"""What is measured: the workloads of docs/performance.md, each a list of rows of one kind.

A row is a program with its arguments by the contract of programs/contract.hpp; the first is ours, and
`limit` marks the row that the others are held against.
"""
from dataclasses import dataclass, field


@dataclass
class Row:
    name: str
    program: str                 # a key of peers.py
    workload: str
    connections: int = 8
    tasks: int = 64
    threads: int = 1
    tls: bool = False
    limit: bool = False


@dataclass
class Workload:
    key: str
    title: str
    unit: str
    rows: list = field(default_factory=list)
    kind: str = "contract"       # or the name of a function in special.py


def rows(workload, *programs, **settings):
    return [Row(program, program, workload, limit=program == "libpq", **settings) for program in programs]


EVERYBODY = "ours", "libpq", "libpqxx", "psycopg", "asyncpg", "pg", "postgres", "tokio-postgres", "pgx"

WORKLOADS = [
    Workload("W1", "select by key, 64 tasks on 8 connections", "statements",
             rows("select", *EVERYBODY)),
    Workload("W1T", "select by key over TLS, 64 tasks on 8 connections", "statements",
             rows("select", "ours", "libpq", "libpqxx", "psycopg", "asyncpg", "postgres", "pgx", tls=True)),
    Workload("W1N", "select by key, by 2 and 4 threads", "statements", [
        Row("ours, 1 thread", "ours", "select", limit=True),
        *(Row(f"ours, {n} threads, one io_context", "ours", "select", threads=n) for n in (2, 4)),
        *(Row(f"ours, {n} threads, an io_context and a pool each", "ours", "select-apart", threads=n)
          for n in (2, 4)),
        *(Row(f"pgx, {n} threads", "pgx", "select", threads=n) for n in (1, 2, 4)),
        *(Row(f"tokio-postgres, {n} threads", "tokio-postgres", "select", threads=n) for n in (1, 2, 4)),
    ]),
    Workload("W2", "select by key, 1,000 tasks on 8 connections", "statements",
             rows("select", "ours", "libpq", "asyncpg", "psycopg", "tokio-postgres", "pgx", tasks=1000)),
    Workload("W2M", "the same, multiplexed", "statements",
             rows("multiplexed", "ours", "libpq", "tokio-postgres", "postgres", tasks=1000)),
    Workload("W2M1", "multiplexed, 64 tasks on 1 connection", "statements",
             rows("multiplexed", "ours", "libpq", "tokio-postgres", "postgres", connections=1)),
    Workload("W2M4", "multiplexed, 256 tasks on 4 connections", "statements",
             rows("multiplexed", "ours", "libpq", "tokio-postgres", "postgres", connections=4, tasks=256)),
    Workload("W3", "batches of 64 on 1 connection, a sync each", "statements",
             rows("batch-each", "ours", "libpq", "tokio-postgres", connections=1)),
    Workload("W3O", "batches of 64 on 1 connection, one sync", "statements",
             rows("batch-once", "ours", "libpq", "pgx", connections=1)),
    Workload("W3F", "batches of 64 on 4 connections, one sync", "statements",
             rows("batch-once", "ours", "libpq", "pgx", connections=4, tasks=256)),
    Workload("W4", "1,000,000 rows into structs, streamed", "rows",
             rows("stream", "ours", "libpq", "libpqxx", "psycopg", "asyncpg", "postgres", "tokio-postgres",
                  "pgx", connections=1, tasks=1)),
    Workload("W4C", "1,000,000 rows by COPY binary, into structs", "rows",
             rows("copy-out", "ours", "libpq", connections=1, tasks=1)),
    Workload("W5", "1,000,000 rows written by COPY binary", "rows",
             rows("copy-in", "ours", "libpq", "psycopg", "asyncpg", "pgx", connections=1, tasks=1)),
    Workload("W6", "acquire and release, 1 task", "leases",
             rows("acquire", "ours", "asyncpg", "pgx", "tokio-postgres", tasks=1)),
    Workload("W6C", "acquire and release, 64 tasks on 8 connections", "leases",
             rows("acquire", "ours", "asyncpg", "pgx", "tokio-postgres")),
    Workload("W7", "begin, update, select, commit, 16 tasks on 8 connections", "transactions",
             rows("transaction", "ours", "libpq", "psycopg", "asyncpg", "pg", "postgres", "tokio-postgres",
                  "pgx", tasks=16)),
    Workload("W7O", "the same, known beforehand, in one trip", "transactions",
             rows("transaction-once", "ours", "libpq", tasks=16)),
    Workload("W8", "first row from a sleeping database", "milliseconds", kind="wake"),
    Workload("W9", "100,000 tasks waiting on a pool of 10", "KiB each", kind="waiters"),
    Workload("W10", "an HTTP service, 64 clients of wrk", "requests", kind="services"),
    Workload("W11", "API calls on kept-alive sessions, 8 at a time", "calls", kind="api_client"),
    Workload("W12", "the gateway over TLS, pgbench -S, prepared", "statements", kind="gateway"),
    Workload("W12C", "opening a session over TLS, by a password, up to its first row", "sessions", kind="gateway_sessions"),
    Workload("W13", "the API of `bit serve`", "calls", kind="api_server"),
]

# The plots: throughput and CPU by concurrency.
SWEEP = [(program, tasks) for tasks in (1, 8, 64, 256, 1000)
         for program in ("ours", "libpq", "tokio-postgres", "pgx")]
