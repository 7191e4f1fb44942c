#!/usr/bin/python3
"""The table of docs/performance.md from build/bench/results.json, as bench/run writes it to table.md.

    bench/page.py              prints it
    bench/page.py --write      puts it and the plots into docs
"""
import json
import os
import sys

sys.dont_write_bytecode = True

from plots import plots
from report import about, group_of, number, shown

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TITLES = {"throughput.svg": "throughput by the number of tasks", "cpu.svg": "client CPU by the number of tasks",
          "latency.svg": "percentiles of latency"}
BEGIN, END = "<!-- bench/page.py writes from here -->", "<!-- to here -->"
LIMITS = {"libpq": "", "a bare Asio coroutine on a timer": "bare timer: ", "the start of PostgreSQL": "its start: ",
          "libcurl's multi interface": "libcurl: ", "PostgreSQL itself": "direct: ", "a bare Beast server": "bare Beast: ",
          "the encoding of its answer": "encoding: ", "Boost.JSON's parse": "Boost.JSON: ",
          "psql": "psql: "}


def short(name):
    return name.split("; ")[-1]


def figures(kind, row):
    """The figures of a row in a cell."""
    if kind == "waiters":
        return f"{shown(row['size'], 1 / 1024)} KiB"
    if kind in ("wake", "command_start"):
        return f"{shown(row['p50'], 1e-3)} ms"
    cpu = f"; {number(row['cpu'])}" if row["cpu"] else ""
    return f"{row['rate']:,.0f}{cpu}" if row["rate"] >= 1000 else f"{number(row['rate'])}{cpu}"


def verdicts(goals):
    """The goals of a row, and what was reached of each."""
    values = ["–" if goal["value"] is None else number(goal["value"]) if goal["met"] else f"**{number(goal['value'])}**"
              for goal in goals]
    return "; ".join(goal["words"] for goal in goals), "; ".join(values)


def line(key, title, workload, rows, goals):
    """One line of the table: our row of a group, its limit, and the best of its peers."""
    def cell(name, prefix):
        return f"{prefix}{figures(workload['kind'], rows[name])}" if name and "why" not in rows[name] else ""

    ours = next((name for name in rows if short(name).startswith("ours")), None)
    limit = next((name for name in rows if short(name) in LIMITS), None)
    peers = [name for name, row in rows.items() if name not in (ours, limit) and "why" not in row]
    best = max(peers, key=lambda name: rows[name]["rate"], default=None)
    return (f"| {key}: {title} | {cell(ours, '')} | {cell(limit, LIMITS.get(short(limit), '') if limit else '')} | "
            f"{cell(best, short(best) + ': ' if best else '')} | " + " | ".join(verdicts(goals)) + " |")


def table(results):
    lines = [about(results), "",
             "| work: a second; CPU, µs | ours | the limit | best peer | goals | reached |",
             "|---|---|---|---|---|---|"]
    for key, workload in results["workloads"].items():
        groups = {}
        for name, row in workload["rows"].items():
            groups.setdefault(group_of(name), {})[name] = row
        alone = groups.pop("", {}) if len(groups) > 1 else {}  # stands beside all groups
        for place, (group, rows) in enumerate(groups.items()):
            title = ", ".join([workload["title"]][:place == 0] + [group][:group != ""])
            goals = [goal for goal in workload["goals"] if group_of(goal["row"]) == group]
            lines.append(line(key, title, workload, {**rows, **alone}, goals))
    return "\n".join(lines) + "\n"


def main():
    build = os.path.join(ROOT, "build", "bench")
    with open(os.path.join(build, "results.json")) as file:
        results = json.load(file)
    if sys.argv[1:] != ["--write"]:
        return print(table(results), end="")
    if results["any_load"]:
        sys.exit("these figures are of a machine that others used; they do not belong in a page")
    drawn = plots(results)
    shown_plots = "".join(f"\n![{TITLES[name]}](images/{name})\n" for name in drawn)
    path = os.path.join(ROOT, "docs", "performance.md")
    with open(path) as file:
        before, rest = file.read().split(BEGIN)
        after = rest.split(END)[1]
    with open(path, "w") as file:
        file.write(f"{before}{BEGIN}\n{table(results)}{shown_plots}{END}{after}")
    images = os.path.join(ROOT, "docs", "images")
    os.makedirs(images, exist_ok=True)
    for name, plot in drawn.items():
        with open(os.path.join(images, name), "w") as file:
            file.write(plot)


if __name__ == "__main__":
    main()
