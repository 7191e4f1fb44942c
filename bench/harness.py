"""Runs workloads in interleaved rounds and writes what came of them (bench/run calls it)."""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

import api
import gateway
import goals
import page
import peers
import plots
import report
import service
import special
from servers import Postgres, end, processor_seconds, road
from workloads import SWEEP, WORKLOADS, Row, Workload

BUSY = 0.10     # the share of all processors that others may use in a round that counts
TRIES = 3       # of a round that others disturbed
PATIENCE = 40   # disturbed rounds in a run, after which none is tried again
LONGEST = 300   # seconds that a program may take
FIRST = 1_000   # statements whose answers make the sum
FIRST_FAR = 20  # where each takes 20 ms


def busy_ticks():
    with open("/proc/stat") as file:
        fields = list(map(int, file.readline().split()[1:9]))
    return sum(fields) - fields[3] - fields[4]


class Context:
    """What the workloads share: where things are, how long and how often, and what was left out."""

    def __init__(self, postgres, commands, missing, chosen, scratch):
        self.postgres, self.commands, self.missing = postgres, commands, missing
        self.rounds, self.seconds, self.any_load = chosen.rounds, chosen.seconds, chosen.any_load
        self.scratch = scratch
        self.disturbed = 0
        self.road = None

    def address(self, row):
        return self.postgres.address(row.tls, port=self.road.port if row.far else None)

    def undisturbed(self, work):
        """The measure that work() gives, once others have left the machine to it; or its words, if it fails."""
        for _ in range(TRIES):
            before, ours, since = busy_ticks(), processor_seconds(os.getpid()), time.monotonic()
            measure = work()
            if isinstance(measure, str):
                return measure
            others = ((busy_ticks() - before) / os.sysconf("SC_CLK_TCK") - (processor_seconds(os.getpid()) - ours))
            measure["others"] = round(others / (time.monotonic() - since) / os.cpu_count(), 3)
            if self.any_load or measure["others"] < BUSY:
                return measure
            self.disturbed += 1
            if self.disturbed > PATIENCE:
                break
        measure["disturbed"] = True
        return measure

    def finished(self, command, environment=None):
        """(status, output, errors) of a command. If this is interrupted, all that it started ends too."""
        if not shutil.which(command[0]):
            return 127, "", f"there is no {command[0]}"
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                              env={**os.environ, "TMPDIR": self.scratch, **(environment or {})}) as process:
            try:
                said, problem = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                end(process, signal.SIGKILL)
                return 1, "", f"did not end within {LONGEST} s"
            except BaseException:
                end(process, signal.SIGKILL)
                raise
        return process.returncode, said.decode(errors="replace"), problem.decode(errors="replace")

    def once(self, program, workload, dsn, connections, tasks, threads=1, environment=None):
        """The measure of one run of a program, disturbed or not, or why there is none."""
        if program in self.missing:
            return self.missing[program]
        status, said, problem = self.finished(
            [*self.commands[program], workload, dsn, str(connections), str(tasks), str(self.seconds),
             *([str(threads)] if threads != 1 else [])], environment)
        if status == 3:
            return "does not have it"
        if status:
            return problem.strip()[-300:] or f"status {status}"
        return json.loads(said)

    def program(self, *words, **options):
        return self.undisturbed(lambda: self.once(*words, **options))

    def row(self, row):
        if row.program == "pgbench":
            return gateway.pgbench_select(self, self.address(row), row.connections)
        return self.program(row.program, row.workload, self.address(row), row.connections, row.tasks, row.threads,
                            {"BENCH_FIRST": str(FIRST_FAR if row.far else FIRST)})


def contract(context, workload):
    found = {row.name: [] for row in workload.rows}
    for _ in range(context.rounds):
        for row in workload.rows:
            found[row.name].append(context.row(row))
    return found


def summary(measures):
    """Medians over the rounds that counted, or why there is none."""
    if isinstance(measures, str):
        return {"why": measures}
    good = [one for one in measures if isinstance(one, dict)]
    if not good:
        return {"why": measures[0]}
    quiet = [one for one in good if not one.get("disturbed")] or good

    def middle(of):
        values = [of(one) for one in quiet]
        return None if None in values else statistics.median(values)
    rates = [one["operations"] / one["seconds"] if one["seconds"] else 0 for one in quiet]
    rate = statistics.median(rates)
    return {
        "rate": rate, "spread": (max(rates) - min(rates)) / rate if rate else 0,
        "cpu": middle(lambda one: one["cpu"] / one["operations"] * 1e6
                      if one.get("cpu") is not None and one["operations"] else None),
        **{name: middle(lambda one, name=name: one.get(name)) for name in ("p50", "p90", "p99", "p999", "peak", "size")},
        "errors": sum(one["errors"] for one in good), "sum": good[0].get("sum"), "rounds": len(quiet),
        "failed": [one for one in measures if isinstance(one, str)],
        "disturbed": sum(1 for one in good if one.get("disturbed")), "measures": good,
    }


def true_sum(row):
    """What a program must answer that asks for the rows of servers.TABLES."""
    if row.workload in ("stream", "copy-out", "copy-in"):
        return sum(i + len(f"label-{i % 1000}") + i for i in range(1, 1_000_001))
    state, total = 12_345 % 2147483646 + 1, 0
    for _ in range(FIRST_FAR if row.far else FIRST):
        state = state * 48_271 % 2147483647
        number = state % 100_000 + 1
        total += number * 7919 % 1_000_003 + len(f"name-{number}")
    return total


def check_sums(workload, rows):
    """A program that answers wrongly has figures that count for nothing."""
    if workload.kind != "contract":
        return
    for row in workload.rows:
        found = rows[row.name]
        if found.get("sum") is not None and found["sum"] != true_sum(row):
            found["why"] = f"answered wrongly: {found['sum']} instead of {true_sum(row)}"


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    version = subprocess.run(["psql", "--version"], capture_output=True, text=True).stdout.split()[2]
    git = lambda *words: subprocess.run(["git", *words], cwd=peers.ROOT, capture_output=True, text=True).stdout.strip()
    return {"processors": os.cpu_count(), "model": model, "kernel": platform.release(), "postgresql": version,
            "commit": git("rev-parse", "--short", "HEAD") + (" and changes" if git("status", "--porcelain") else "")}


def measured(context, workload):
    """The results of a workload."""
    run = contract if workload.kind == "contract" else next(
        lambda context, _, work=getattr(module, workload.kind): work(context)
        for module in (special, service, api, gateway) if hasattr(module, workload.kind))
    since = time.monotonic()
    try:
        rows = {name: summary(measures) for name, measures in run(context, workload).items()}
        check_sums(workload, rows)
    except Exception as failure:  # the other workloads can still be measured
        traceback.print_exc()
        rows = {"all of it": {"why": str(failure) or type(failure).__name__}}
    return {"title": workload.title, "unit": workload.unit, "kind": workload.kind, "limit": workload.limit,
            "took": round(time.monotonic() - since), "rows": rows, "goals": goals.judged(workload.goals, rows)}


def write(results):
    files = {"results.json": json.dumps(results, indent=1), "results.md": report.page(results),
             "table.md": page.table(results), **plots.plots(results)}
    for name, text in files.items():
        with open(os.path.join(peers.BUILD, name), "w") as file:
            file.write(text)


def run_all(chosen, workloads, commands, missing):
    results = {"machine": machine(), "rounds": chosen.rounds, "seconds": chosen.seconds, "disturbed": 0,
               "any_load": chosen.any_load, "missing": missing, "workloads": {}}
    scratch = tempfile.mkdtemp(prefix="bitdotio-bench-")
    os.chmod(scratch, 0o1777)
    try:
        with Postgres() as postgres, road(postgres, 20) as way:
            context = Context(postgres, commands, missing, chosen, scratch)
            context.road = way
            for workload in workloads:
                print(f"{workload.key}: {workload.title}", file=sys.stderr, flush=True)
                results["workloads"][workload.key] = measured(context, workload)
                results["disturbed"] = context.disturbed
                print(report.table(results["workloads"][workload.key]), flush=True)
                write(results)  # so that what was measured is kept if the rest is interrupted
            if {"W1", "W2"} <= results["workloads"].keys() and not chosen.no_plots:
                sweep = Workload("sweep", "", "", [Row(f"{program} {tasks}", program, "select", 8, tasks)
                                                   for program, tasks in SWEEP])
                results["sweep"] = measured(context, sweep)["rows"]
                results["disturbed"] = context.disturbed
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return results


def interrupt(number, _):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one does not stop the clean-up
    print("interrupted: what was measured is in build/bench", file=sys.stderr)
    sys.exit(128 + number)


def main():
    arguments = argparse.ArgumentParser(prog="bench/run")
    arguments.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="such as W1 W4; all without")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=2, help="of a program in a round")
    arguments.add_argument("--any-load", action="store_true",
                           help="count rounds that other processes disturbed, to try the harness on a busy machine")
    arguments.add_argument("--no-plots", action="store_true")
    chosen = arguments.parse_args()
    known = {one.key: one for one in WORKLOADS}
    for key in chosen.workloads:
        if key not in known:
            arguments.error(f"no workload {key}: there are {', '.join(known)}")
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, interrupt)
    commands, missing = peers.build()
    for name, why in missing.items():
        print(f"{name}: {why}", file=sys.stderr)
    since = time.monotonic()
    results = run_all(chosen, [known[key] for key in chosen.workloads] or WORKLOADS, commands, missing)
    results["took"] = round(time.monotonic() - since)
    write(results)
    failed = [f"{key}, {name}: {row['why']}" for key, workload in results["workloads"].items()
              for name, row in workload["rows"].items()
              if "why" in row and row["why"] != "does not have it" and row["why"] not in missing.values()]
    print(f"build/bench/results.md, table.md, results.json and plots are written after {results['took']} s; "
          f"{results['disturbed']} rounds were disturbed")
    if failed:
        sys.exit("\n".join(["these have no figures:", *failed]))


if __name__ == "__main__":
    main()
