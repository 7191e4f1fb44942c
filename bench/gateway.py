"""pgbench, and the gateway of `bit serve` beside PgBouncer and PostgreSQL itself (W12, W12C)."""
import contextlib
import os
import re
import resource
import secrets
import tempfile

from api import Api, serve
from servers import Failed, PgBouncer, peak_memory, processor_seconds

SELECT = "\\set id random(1, 100000)\nSELECT name, balance FROM account WHERE id = :id;\n"
# The gateway's own role, which makes databases of its own.
GATEWAY_ROLE = "DO $$ BEGIN CREATE ROLE gateway LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN END $$"


def backend_of(postgres):
    """Over its Unix socket, as PgBouncer: a message over TCP costs more than all that is measured."""
    return f"host={postgres.directory} port={postgres.port} user=gateway dbname=postgres"


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pgbench(context, address, clients, *options, threads=2, process=None, logged=False, environment=None):
    """What pgbench says, with the CPU of `process`, or else its own, and percentiles from its log if asked for."""
    # Its time begins before its clients are connected, which 64 are only after a second or more.
    seconds = max(1 if clients <= 8 else 4, round(context.seconds))

    def work():
        with tempfile.TemporaryDirectory(dir=context.scratch) as directory:
            used = processor_seconds(process, alone=True) if process else children_seconds()
            status, said, problem = context.finished(
                ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(threads), "-T", str(seconds),
                 *(["-l", f"--log-prefix={directory}/log"] if logged else []), *options, address],
                environment)
            used = (processor_seconds(process, alone=True) if process else children_seconds()) - used
            if status or "tps = " not in said:
                return problem.strip()[-300:] or f"pgbench: status {status}"
            times = []
            for name in os.listdir(directory):
                with open(os.path.join(directory, name)) as file:
                    times += [int(line.split()[2]) for line in file]
        times.sort()
        at = lambda share: times[min(int(share * len(times)), len(times) - 1)] if times else None
        tps = float(re.search(r"tps = ([\d.]+)", said).group(1))
        failed = re.search(r"number of failed transactions: (\d+)", said)
        return {"operations": round(tps * seconds), "seconds": seconds, "errors": int(failed.group(1)) if failed else 0,
                "cpu": used, "peak": peak_memory(process) if process else None,
                "p50": at(.5), "p90": at(.9), "p99": at(.99), "p999": at(.999)}
    return context.undisturbed(work)


def pgbench_select(context, address, clients):
    """The select of W1, without a log, which would cost it."""
    script = os.path.join(context.scratch, "select.sql")
    with open(script, "w") as file:
        file.write(SELECT)
    return pgbench(context, address, clients, "-f", script, threads=1)


@contextlib.contextmanager
def front_doors(context):
    """The key of the gateway, and three addresses of pgbench's tables: its own, PgBouncer's, PostgreSQL's, with
    the processes in front."""
    postgres = context.postgres

    def fill(address, environment=None):
        status, _, problem = context.finished(["pgbench", "-i", "-q", "-s", "10", address], environment)
        if status:
            raise Failed(f"pgbench cannot make its tables: {problem}")
    fill(postgres.address())
    postgres.psql(GATEWAY_ROLE)
    with PgBouncer(postgres) as bouncer, serve(context, backend_of(postgres)) as server:
        name = Api(server).call("POST", "/db/", {"name": "pgbench"})["name"]
        profile = server.profile
        address = (f"postgresql://bench@{profile['postgres_host']}:{profile['postgres_port']}/"
                   f"{name.replace('/', '%2F')}?sslmode=require")
        key = {"PGPASSWORD": profile["key"]}
        fill(address, key)
        yield key, [("ours", address, server.process.pid),
                    ("PgBouncer", postgres.address(tls=True, port=bouncer.port), bouncer.process.pid),
                    ("PostgreSQL itself", postgres.address(tls=True), None)]


def without_own(measure):
    """There is no process in front of PostgreSQL itself, whose CPU would be meant."""
    return {**measure, "cpu": None, "peak": None} if isinstance(measure, dict) else measure


def through_doors(context, clients, name_of, *options):
    found = {}
    with front_doors(context) as (key, doors):
        for _ in range(context.rounds):
            for many in clients:
                for name, address, process in doors:
                    measure = pgbench(context, address, many, *options, process=process, logged=True,
                                      environment=key)
                    found.setdefault(name_of(many, name), []).append(measure if process else without_own(measure))
    return found


def gateway(context):
    return through_doors(context, (8, 64), lambda many, name: f"{many} clients; {name}", "-S")


def gateway_sessions(context):
    """Opening a session by TLS and a password, which everybody is shown by SCRAM, up to its first row."""
    postgres, password = context.postgres, "v2_" + secrets.token_hex(20)
    postgres.psql(f"DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD '{password}';" + GATEWAY_ROLE)
    rules = postgres.psql("SHOW hba_file")
    with open(rules) as file:
        before = file.read()
    with open(rules, "w") as file:
        file.write("hostssl all guest 127.0.0.1/32 scram-sha-256\n" + before)
    postgres.psql("SELECT pg_reload_conf()")
    # What is kept, not the password, from which PgBouncer would make it anew for each client.
    secret = postgres.psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'guest'")
    found = {}
    with PgBouncer(postgres, secret) as bouncer, serve(context, backend_of(postgres)) as server:
        name = Api(server).call("POST", "/db/", {"name": "opening"})["name"]
        profile = server.profile
        ours = (f"postgresql://bench@{profile['postgres_host']}:{profile['postgres_port']}/"
                f"{name.replace('/', '%2F')}?sslmode=require")
        as_guest = lambda port: postgres.address(tls=True, port=port).replace("bench@", "guest@")
        doors = [("ours", ours, profile["key"], server.process.pid),
                 ("PgBouncer", as_guest(bouncer.port), password, bouncer.process.pid),
                 ("PostgreSQL itself", as_guest(postgres.port), password, None)]
        for _ in range(context.rounds):
            for many in (1, 8):
                for door, address, word, process in doors:
                    measure = opening(context, address, many, word, process)
                    found.setdefault(f"{many} clients; {door}", []).append(measure)
    return found


def opening(context, address, clients, password, process):
    def work():
        used = processor_seconds(process, alone=True) if process else 0
        measure = context.once("opening", "open", address, 1, clients, environment={"PGPASSWORD": password})
        if not process or not isinstance(measure, dict):
            return without_own(measure)
        return {**measure, "cpu": processor_seconds(process, alone=True) - used, "peak": peak_memory(process)}
    return context.undisturbed(work)
