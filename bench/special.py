"""The workloads that are more than one program against one PostgreSQL.

Each function takes the context of a run and gives {row: [measure, ...]}, a measure for each round: the
fields of a contract line, with the CPU of what is measured.
"""
import contextlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

from servers import BIN, Bare, BitServe, PgBouncer, free_port, processor_seconds, unprivileged


def programs(context, named):
    """{row: measures} of programs by the contract: name, program, workload, DSN, connections, tasks."""
    found = {name: [] for name, *_ in named}
    for _ in range(context.rounds):
        for name, program, workload, dsn, connections, tasks, *environment in named:
            found[name].append(context.program(program, workload, dsn, connections, tasks,
                                               environment=environment[0] if environment else None))
    return found


def first_answer(port, user="bench", database="bench"):
    """Whether a PostgreSQL answers SELECT 1 already, by the protocol and no library."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as one:
            words = f"user\0{user}\0database\0{database}\0\0".encode()
            one.sendall(struct.pack("!II", 8 + len(words), 196608) + words + b"Q\0\0\0\x0dSELECT 1\0")
            data = b""
            while data.count(b"Z\0\0\0\5I") < 2:
                piece = one.recv(4096)
                if not piece or data[:1] == b"E":
                    return False
                data += piece
            return True
    except OSError:
        return False


def start_of_postgres(context):
    """How long PostgreSQL itself takes from its start to a first row."""
    user = unprivileged()
    options = {"user": user.pw_uid, "group": user.pw_gid} if os.geteuid() == 0 else {}
    data = os.path.join(context.postgres.directory, "to-start")
    if not os.path.exists(data):
        subprocess.run([f"{BIN}/initdb", "-D", data, "-U", "bench", "-A", "trust", "-N"], check=True,
                       stdout=subprocess.DEVNULL, cwd=context.postgres.directory, **options)
    port, times = free_port(), []
    for _ in range(10):
        since = time.perf_counter()
        process = subprocess.Popen([f"{BIN}/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                                    "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB", "-c", "fsync=off"],
                                   stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   cwd=context.postgres.directory, **options)
        while not first_answer(port, database="postgres"):
            time.sleep(0.0005)
        times.append((time.perf_counter() - since) * 1e6)
        process.send_signal(2)
        process.wait(30)
    times.sort()
    return {"operations": len(times), "seconds": sum(times) / 1e6, "cpu": 0, "errors": 0, "sum": 0,
            "p50": times[len(times) // 2], "p90": times[-2], "p99": times[-1], "p999": times[-1]}


def wake(context):
    found = {"the start of PostgreSQL": [start_of_postgres(context)]}
    found |= programs(context, [("ours, 1 caller", "wake", "first-row", "-", 1, 1),
                                ("ours, 1,000 callers", "wake", "first-row", "-", 1, 1000)])
    return found


def waiters(context):
    dsn = context.postgres.address()
    return programs(context, [("ours", "ours", "waiters", dsn, 10, 100_000),
                              ("a bare Asio coroutine on a timer", "ours", "waiters-bare", dsn, 10, 100_000)])


def to_seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def load(context, port, path, post):
    """What wrk says of a service: requests, seconds, percentiles."""
    script = os.path.join(context.build, "wrk.lua")
    with open(script, "w") as file:
        file.write(('wrk.method = "POST"\n' if post else "") +
                   "local id = 0\nrequest = function()\n  id = id * 31 % 99991 + 7\n"
                   f'  return wrk.format(nil, "{path}" .. (id % 99900 + 1))\nend\n')
    said = subprocess.run(["wrk", "-t1", "-c64", f"-d{max(1, round(context.seconds))}s", "--latency", "-s", script,
                           f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True).stdout
    at = {name: to_seconds(value) * 1e6
          for name, value in re.findall(r"(50|90|99)%\s+(\S+)", said)}
    operations, seconds = re.search(r"(\d+) requests in ([\d.]+\w+)", said).groups()
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    return {"operations": int(operations), "seconds": to_seconds(seconds), "errors": errors, "sum": 0,
            "p50": at["50"], "p90": at["90"], "p99": at["99"], "p999": at["99"]}


def services(context):
    found = {}
    for _ in range(context.rounds):
        for name, program in (("ours: Beast and the pool", "service"), ("Go: net/http and pgx", "go-service"),
                              ("node: http and postgres", "node-service"), ("Python: asyncio and asyncpg", "python-service")):
            for what, path, post in (("one row", "/account/", False), ("twenty rows", "/accounts/", False),
                                     ("an update", "/account/", True)):
                row = f"{what}; {name}"
                if program in context.missing:
                    found[row] = context.missing[program]
                    continue
                with subprocess.Popen([*context.commands[program], context.postgres.address(), "8"],
                                      stdout=subprocess.PIPE) as service:
                    try:
                        port = int(service.stdout.readline())
                        used = processor_seconds(service.pid)
                        measure = load(context, port, path, post)
                        measure["cpu"] = processor_seconds(service.pid) - used
                        found.setdefault(row, []).append(measure)
                    finally:
                        service.kill()
    return dict(sorted(found.items(), key=lambda one: ("one row", "twenty rows", "an update").index(one[0].split(";")[0])))


class Api:
    """Calls of the API by what Python has."""

    def __init__(self, server):
        self.url, self.key = server.api_url, server.profile["key"]
        self.context = ssl.create_default_context(cafile=server.profile["ca_file"])

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=json.dumps(body).encode() if body else None,
                                         headers={"Authorization": "Bearer " + self.key,
                                                  "Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=self.context, timeout=120) as answer:
            return json.load(answer)


def serve(context, backend=None):
    return BitServe(context.commands["server"][0], backend)


def environment_of(server):
    profile = os.path.join(server.directory, "profile.json")
    return {"BITIO_PROFILE": profile, "BENCH_KEY": server.profile["key"], "BENCH_CA": server.profile["ca_file"]}


def api_client(context):
    with serve(context) as server:
        api = Api(server)
        name = api.call("POST", "/db/", {"name": "bench"})["name"]
        url = server.api_url + "/db/" + name
        environment = environment_of(server)
        return programs(context, [("ours", "api", "get", name, 8, 8, environment),
                                  ("libcurl's multi interface", "curl", "get", url, 8, 8, environment)])


def api_server(context):
    """Rows of one kind stand together; the first of each is what the others are held against."""
    found = {}

    def measure(row, process, program, workload, asked, environment=None):
        used = processor_seconds(process, alone=True) if process else 0
        one = context.program(program, workload, asked, 8, 32, environment=environment)
        if isinstance(one, dict) and process:
            one["cpu"] = processor_seconds(process, alone=True) - used
        found.setdefault(row, []).append(one)

    def answer(api, name, method, path, body=None):
        file = os.path.join(context.build, name + ".json")
        with open(file, "w") as out:
            json.dump(api.call(method, path, body), out, separators=(",", ":"))
        return file

    with serve(context) as server:
        api, environment, process = Api(server), environment_of(server), server.process.pid
        name = api.call("POST", "/db/", {"name": "bench"})["name"]
        with open(answer(api, "one", "GET", "/db/" + name)) as file, \
                Bare(context.commands["bare"][0], context.postgres.certificate, file.read(), server.profile) as bare:
            for _ in range(context.rounds):
                measure("GET /db/NAME; a bare Beast server", bare.process.pid, "api", "get", name,
                        environment_of(bare))
                measure("GET /db/NAME; ours", process, "api", "get", name, environment)
        rows = answer(api, "rows", "POST", "/query", {
            "database_name": name,
            "query_string": "SELECT i, 'label-' || i AS label, i * 0.5 AS half FROM generate_series(1, 3000) i"})
        for _ in range(context.rounds):
            measure("POST /query; SELECT 1", process, "api", "query", name, environment)
            measure("POST /query; 3,000 rows", process, "api", "query-rows", name, environment)
            measure("3,000 rows read; Boost.JSON's own parse", None, "codec", "parse-rows", rows)
            measure("3,000 rows read; ours", None, "codec", "decode-rows", rows)
        made = 1
        for many in (1, 61, 1000):
            for made in range(made, many):
                api.call("POST", "/db/", {"name": f"further{made}"})
            made = many
            listed = answer(api, "list", "GET", "/db/")
            title = f"GET /db/, {many:,} database{'s'[:many > 1]}; "
            for _ in range(context.rounds):
                measure(title + "the encoding of its answer", None, "codec", "encode-list", listed)
                measure(title + "ours", process, "api", "list", name, environment)
    return found


def pgbench(context, address, clients, *options):
    """What pgbench says: transactions, seconds, percentiles from its log."""
    prefix = os.path.join(context.build, "pgbench")
    for name in os.listdir(context.build):
        if name.startswith("pgbench."):
            os.remove(os.path.join(context.build, name))
    seconds = max(1, round(context.seconds))
    done = subprocess.run(["pgbench", "-n", "-S", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds),
                           "-l", f"--log-prefix={prefix}", *options, address], capture_output=True, text=True)
    if done.returncode or "tps = " not in done.stdout:
        return done.stderr.strip()[-300:]
    times = []
    for name in os.listdir(context.build):
        if name.startswith("pgbench."):
            with open(os.path.join(context.build, name)) as file:
                times += [int(line.split()[2]) for line in file]
    times.sort()
    at = lambda share: times[min(int(share * len(times)), len(times) - 1)]
    tps = float(re.search(r"tps = ([\d.]+)", done.stdout).group(1))
    return {"operations": round(tps * seconds), "seconds": seconds, "errors": 0, "sum": 0, "p50": at(.5), "p90": at(.9),
            "p99": at(.99), "p999": at(.999)}


@contextlib.contextmanager
def front_doors(context):
    """Three addresses of pgbench's tables: PostgreSQL's own, PgBouncer's, the gateway's, with their processes."""
    postgres = context.postgres
    if not getattr(context, "pgbench_made", False):
        subprocess.run(["pgbench", "-i", "-q", "-s", "10", postgres.address()], check=True, capture_output=True)
        context.pgbench_made = True
    # The gateway's own role, which makes a database of its own.
    postgres.psql("DO $$ BEGIN CREATE ROLE gateway LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN END $$")
    backend = f"postgresql://gateway@127.0.0.1:{postgres.port}/postgres?sslmode=disable"
    with PgBouncer(postgres) as bouncer, serve(context, backend) as server:
        name = Api(server).call("POST", "/db/", {"name": "pgbench"})["name"]
        profile = server.profile
        address = (f"postgresql://bench:{profile['key']}@{profile['postgres_host']}:{profile['postgres_port']}/"
                   f"{name.replace('/', '%2F')}?sslmode=require")
        subprocess.run(["pgbench", "-i", "-q", "-s", "10", address], check=True, capture_output=True)
        yield [("PgBouncer 1.18, session mode", postgres.address(tls=True, port=bouncer.port), bouncer.process.pid),
               ("ours: bit serve --backend", address, server.process.pid),
               ("PostgreSQL itself", postgres.address(tls=True), None)]


def through_doors(context, clients, *options):
    found = {}
    with front_doors(context) as doors:
        for _ in range(context.rounds):
            for many in clients:
                for name, address, process in doors:
                    used = processor_seconds(process, alone=True) if process else 0
                    measure = pgbench(context, address, many, *options)
                    if isinstance(measure, dict):
                        measure["cpu"] = processor_seconds(process, alone=True) - used if process else 0
                    found.setdefault(f"{many} clients; {name}", []).append(measure)
    return found


def gateway(context):
    return through_doors(context, (8, 64))


def gateway_sessions(context):
    return through_doors(context, (8,), "-C")
