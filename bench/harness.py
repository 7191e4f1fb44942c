"""Runs workloads in interleaved rounds and writes what came of them (bench/run calls it)."""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import peers
import report
import special
from servers import Postgres, processor_seconds
from workloads import SWEEP, WORKLOADS, Row, Workload

BUSY = 0.10  # the share of all processors that others may use in a round that counts
TRIES = 3    # of a round that others disturbed


def busy_ticks():
    with open("/proc/stat") as file:
        fields = list(map(int, file.readline().split()[1:9]))
    return sum(fields) - fields[3] - fields[4]


class Context:
    """What the workloads share: where things are, how long and how often, and what was left out."""

    def __init__(self, postgres, commands, missing, rounds, seconds):
        self.postgres, self.commands, self.missing = postgres, commands, missing
        self.rounds, self.seconds = rounds, seconds
        self.build = peers.BUILD
        self.disturbed = 0

    def program(self, program, workload, dsn, connections, tasks, threads=1, environment=None):
        """The measure of one run of a program, with the peak of its memory, or why there is none."""
        if program in self.missing:
            return self.missing[program]
        command = [*self.commands[program], workload, dsn, str(connections), str(tasks), str(self.seconds)]
        if threads != 1:
            command.append(str(threads))
        for _ in range(TRIES):
            before, ours = busy_ticks(), processor_seconds(os.getpid())
            since = time.monotonic()
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env={**os.environ, **(environment or {})}) as process:
                said, problem = process.communicate(timeout=600)
            took = time.monotonic() - since
            others = ((busy_ticks() - before) / os.sysconf("SC_CLK_TCK")
                      - (processor_seconds(os.getpid()) - ours))
            if process.returncode == 3:
                return "does not have it"
            if process.returncode:
                return problem.decode(errors="replace").strip()[-300:] or f"status {process.returncode}"
            measure = json.loads(said)
            if others < BUSY * took * os.cpu_count():
                return measure
            self.disturbed += 1
        measure["disturbed"] = True
        return measure


def contract(context, workload):
    found = {row.name: [] for row in workload.rows}
    for _ in range(context.rounds):
        for row in workload.rows:
            found[row.name].append(context.program(row.program, row.workload, context.postgres.address(row.tls),
                                                   row.connections, row.tasks, row.threads))
    return found


def summary(measures):
    """Medians over the rounds that counted, or why there is none."""
    if isinstance(measures, str):
        return {"why": measures}
    good = [one for one in measures if isinstance(one, dict)]
    if not good:
        return {"why": measures[0]}
    quiet = [one for one in good if not one.get("disturbed")] or good
    middle = lambda of: statistics.median(of(one) for one in quiet)
    return {
        "rate": middle(lambda one: one["operations"] / one["seconds"] if one["seconds"] else 0),
        "cpu": middle(lambda one: one.get("cpu", 0) / one["operations"] * 1e6 if one["operations"] else 0),
        **{name: middle(lambda one: one[name]) for name in ("p50", "p90", "p99", "p999")},
        "errors": sum(one["errors"] for one in good), "sum": good[0]["sum"], "rounds": len(quiet),
        "disturbed": len(good) - len(quiet),
    }


def check_sums(workload, rows):
    """Programs that were asked the same and answer otherwise are wrong: their figures count for nothing."""
    if workload.kind != "contract":
        return
    sums = [row["sum"] for row in rows.values() if "sum" in row]
    for row in rows.values():
        if "sum" in row and row["sum"] != statistics.mode(sums):
            row["why"] = f"answered wrongly: {row['sum']} instead of {statistics.mode(sums)}"


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    version = subprocess.run(["psql", "--version"], capture_output=True, text=True).stdout.split()[2]
    return {"processors": os.cpu_count(), "model": model, "kernel": platform.release(), "postgresql": version,
            "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=peers.ROOT, capture_output=True,
                                     text=True).stdout.strip()}


def main():
    arguments = argparse.ArgumentParser(prog="bench/run")
    arguments.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="such as W1 W4; all without")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=3, help="of a program in a round")
    arguments.add_argument("--no-plots", action="store_true")
    chosen = arguments.parse_args()
    known = {one.key: one for one in WORKLOADS}
    for key in chosen.workloads:
        if key not in known:
            arguments.error(f"no workload {key}: there are {', '.join(known)}")
    commands, missing = peers.build()
    for name, why in missing.items():
        print(f"{name}: {why}", file=sys.stderr)

    results = {"machine": machine(), "rounds": chosen.rounds, "seconds": chosen.seconds, "workloads": {}}
    with Postgres() as postgres:
        context = Context(postgres, commands, missing, chosen.rounds, chosen.seconds)
        for workload in [known[key] for key in chosen.workloads] or WORKLOADS:
            print(f"{workload.key}: {workload.title}", file=sys.stderr, flush=True)
            run = contract if workload.kind == "contract" else \
                lambda context, workload: getattr(special, workload.kind)(context)
            rows = {name: summary(measures) for name, measures in run(context, workload).items()}
            check_sums(workload, rows)
            results["workloads"][workload.key] = {
                "title": workload.title, "unit": workload.unit, "kind": workload.kind, "rows": rows,
                "limit": next((row.name for row in workload.rows if row.limit), None)}
            print(report.table(results["workloads"][workload.key]), flush=True)
        if not chosen.workloads and not chosen.no_plots:
            sweep = Workload("sweep", "", "", [Row(f"{program} {tasks}", program, "select", 8, tasks)
                                               for program, tasks in SWEEP])
            results["sweep"] = {name: summary(measures) for name, measures in contract(context, sweep).items()}
        results["disturbed"] = context.disturbed

    with open(os.path.join(peers.BUILD, "results.json"), "w") as file:
        json.dump(results, file, indent=1)
    with open(os.path.join(peers.BUILD, "results.md"), "w") as file:
        file.write(report.page(results))
    for name, plot in report.plots(results).items():
        with open(os.path.join(peers.BUILD, name), "w") as file:
            file.write(plot)
    print(f"build/bench/results.md, results.json and plots are written; {context.disturbed} rounds were disturbed")


if __name__ == "__main__":
    main()
