"""pgbench, and the gateway of `bit serve` beside PgBouncer and PostgreSQL itself (W12, W12C)."""
import contextlib
import os
import re
import resource
import tempfile

from api import Api, serve
from servers import Failed, PgBouncer, peak_memory, processor_seconds

SELECT = "\\set id random(1, 100000)\nSELECT name, balance FROM account WHERE id = :id;\n"


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pgbench(context, address, clients, *options, threads=2, process=None, logged=False, environment=None):
    """What pgbench says, with the CPU of `process`, or else its own, and percentiles from its log if asked for."""
    seconds = max(1, round(context.seconds))

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
    # The gateway's own role, which makes a database of its own.
    postgres.psql("DO $$ BEGIN CREATE ROLE gateway LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN END $$")
    backend = f"postgresql://gateway@127.0.0.1:{postgres.port}/postgres?sslmode=disable"
    with PgBouncer(postgres) as bouncer, serve(context, backend) as server:
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
    return through_doors(context, (8,), lambda _, name: name, "-S", "-C")
