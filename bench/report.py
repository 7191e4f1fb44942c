"""Results as tables in Markdown, with all rows and rounds of a run."""
import math

from workloads import NOTES


def number(value):
    """Three figures, with thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 2)}f}"


def shown(value, scale=1):
    return "" if value is None else number(value * scale)


def group_of(name):
    return name.split(";")[0] if ";" in name else ""


def first_of_groups(rows):
    """The first row with figures of each group, which the others are held against where there is no limit."""
    firsts = {}
    for name, row in rows.items():
        if "why" not in row:
            firsts.setdefault(group_of(name), row)
    return firsts


def columns(kind):
    """{heading: text of a row}, for the kinds of workloads whose figures are not rates."""
    if kind == "waiters":
        return {"KiB each": lambda row, _: shown(row["size"], 1 / 1024)}
    if kind in ("wake", "command_start"):
        return {"median, ms": lambda row, _: shown(row["p50"], 1e-3), "99 %, ms": lambda row, _: shown(row["p99"], 1e-3)}
    return None


def rates(unit):
    def ratio(what):
        return lambda row, against: (number(row[what] / against[what])
                                     if row.get(what) and against and against.get(what) else "")
    return {
        f"{unit}/s": lambda row, _: number(row["rate"]), "± %": lambda row, _: f"{row['spread'] * 50:.0f}",
        "ratio": ratio("rate"), "CPU, µs": lambda row, _: shown(row["cpu"]), "CPU ratio": ratio("cpu"),
        "median, µs": lambda row, _: shown(row["p50"]), "99 %, µs": lambda row, _: shown(row["p99"]),
        "peak, MiB": lambda row, _: shown(row["peak"], 1 / 1024)}


def remarks(row):
    said = [f"{row['errors']} errors"] if row["errors"] else []
    if row["disturbed"]:
        said.append("disturbed" if row["disturbed"] >= row["rounds"] else f"{row['disturbed']} disturbed left out")
    if row["failed"]:
        said.append(f"{len(row['failed'])} failed")
    return f" ({', '.join(said)})" if said else ""


def table(workload):
    """Rows in their order; ratios are to the limit, or else to the first row of the same group."""
    rows, firsts = workload["rows"], first_of_groups(workload["rows"])
    heads = columns(workload["kind"]) or rates(workload["unit"])
    lines = ["| | " + " | ".join(heads) + " |", "|" + " --- |" * (len(heads) + 1)]
    for name, row in rows.items():
        if "why" in row:
            cells = [" ".join(row["why"].split())[:120].replace("|", "/"), *[""] * (len(heads) - 1)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
            continue
        limit = rows.get(workload["limit"], {})
        against = limit if "rate" in limit else firsts.get(group_of(name))
        lines.append(f"| {name}{remarks(row)} | " + " | ".join(cell(row, against) for cell in heads.values()) + " |")
    for goal in workload["goals"]:
        value = "not measured" if goal["value"] is None else f"{number(goal['value'])}{'' if goal['met'] else ', missed'}"
        lines.append(f"\nGoal, {goal['row']}: {goal['words']}: {value}")
    return "\n".join(lines) + "\n"


def about(results):
    machine = results["machine"]
    words = (f"{machine['processors']} processors ({machine['model']}), Linux {machine['kernel']}, PostgreSQL "
             f"{machine['postgresql']}, commit {machine['commit']}; medians of {results['rounds']} rounds of "
             f"{results['seconds']:g} s")
    if results["any_load"]:
        return words + ", on a machine that others used: no figures to go by."
    return words + f"; {results['disturbed']} disturbed rounds were run again or left out."


def page(results):
    parts = [about(results) + "\n"]
    for key, workload in results["workloads"].items():
        parts.append(f"**{key}: {workload['title']}** ({workload['took']} s)\n\n{table(workload)}")
    parts.append("Of the peers:\n\n" + "\n".join(f"- {name}: {words}." for name, words in NOTES.items()) + "\n")
    for name, why in results["missing"].items():
        parts.append(f"{name} could not be had: {' '.join(why.split())}\n")
    return "\n".join(parts)
