"""Results as a Markdown table and as plots in SVG."""
import math

COLOURS = {"ours": "#1f77b4", "libpq": "#555555", "tokio-postgres": "#d95f02", "pgx": "#1b9e77"}


def number(value):
    """Three figures, with thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 2)}f}"


def table(workload):
    """Rows in their order; ratios are to the limit, or else to the first of those before the same ';'."""
    rows = workload["rows"]
    groups = {}
    for name, row in rows.items():
        if "why" not in row:
            groups.setdefault(name.split(";")[0] if ";" in name else "", row)
    if workload["kind"] == "waiters":
        lines = ["| | KiB each |", "| --- | --- |"]
        return "\n".join(lines + [f"| {name} | {number(row['sum'] / 1024)} |" for name, row in rows.items()]) + "\n"
    if workload["kind"] == "wake":
        lines = ["| | median, ms | 99 %, ms |", "| --- | --- | --- |"]
        return "\n".join(lines + [f"| {name} | {row['why']} | |" if "why" in row else
                                  f"| {name} | {number(row['p50'] / 1e3)} | {number(row['p99'] / 1e3)} |"
                                  for name, row in rows.items()]) + "\n"
    lines = [f"| | {workload['unit']}/s | ratio | CPU, µs | ratio | median, µs | 99 %, µs |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, row in rows.items():
        limit = rows.get(workload["limit"], {})
        against = limit if "rate" in limit else groups.get(name.split(";")[0] if ";" in name else "")
        if "why" in row:
            lines.append(f"| {name} | {' '.join(row['why'].split())[:120]} | | | | | |")
            continue
        ratio = row["rate"] / against["rate"] if against and against.get("rate") else 0
        cpu = row["cpu"] / against["cpu"] if against and against.get("cpu") else 0
        errors = f" ({row['errors']} errors)" if row["errors"] else ""
        lines.append(f"| {name}{errors} | {number(row['rate'])} | {number(ratio)} | {number(row['cpu'])} | "
                     f"{number(cpu) if cpu else ''} | {number(row['p50'])} | {number(row['p99'])} |")
    return "\n".join(lines) + "\n"


def page(results):
    about = results["machine"]
    parts = [f"{about['processors']} processors ({about['model']}), Linux {about['kernel']}, PostgreSQL "
             f"{about['postgresql']}, commit {about['commit']}; medians of {results['rounds']} rounds of "
             f"{results['seconds']:g} s, {results['disturbed']} disturbed rounds left out.\n"]
    for key, workload in results["workloads"].items():
        parts.append(f"**{key}: {workload['title']}**\n\n{table(workload)}")
    return "\n".join(parts)


def chart(title, unit, labels, series):
    """Lines over labels that are equally far apart; series is {name: [value or None, ...]}."""
    width, height, left, top, bottom = 640, 360, 70, 40, 60
    most = max((value for values in series.values() for value in values if value is not None), default=1) * 1.1
    x = lambda i: left + (width - left - 150) * i / max(1, len(labels) - 1)
    y = lambda value: height - bottom - (height - top - bottom) * value / most
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           f'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="22" font-size="14">{title}</text>']
    for i in range(5):
        value = most * i / 4
        out.append(f'<line x1="{left}" x2="{width - 150}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{number(value)}</text>')
    for i, label in enumerate(labels):
        out.append(f'<text x="{x(i):.1f}" y="{height - bottom + 18}" text-anchor="middle">{label}</text>')
    out.append(f'<text x="{left}" y="{height - 14}">{unit}</text>')
    for place, (name, values) in enumerate(series.items()):
        colour = COLOURS.get(name, "#999999")
        points = [(x(i), y(value)) for i, value in enumerate(values) if value is not None]
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
                   + " ".join(f"{a:.1f},{b:.1f}" for a, b in points) + '"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        out.append(f'<text x="{width - 142}" y="{top + 18 * place + 4}" fill="{colour}">{name}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def plots(results):
    """{file: SVG}: throughput and CPU by concurrency, percentiles of latency."""
    sweep = results.get("sweep")
    if not sweep:
        return {}
    tasks = sorted({int(name.rsplit(" ", 1)[1]) for name in sweep})
    names = list(dict.fromkeys(name.rsplit(" ", 1)[0] for name in sweep))
    over = lambda what, scale: {name: [sweep[f"{name} {many}"].get(what) and sweep[f"{name} {many}"][what] * scale
                                       for many in tasks] for name in names}
    shares = ("p50", "p90", "p99", "p999")
    return {
        "throughput.svg": chart("Select by key on 8 connections: thousand statements a second", "tasks", tasks,
                                over("rate", 1e-3)),
        "cpu.svg": chart("The same: client CPU for a statement, µs", "tasks", tasks, over("cpu", 1)),
        "latency.svg": chart("64 tasks on 8 connections: latency, µs", "percentile", ["50", "90", "99", "99.9"],
                             {name: [sweep[f"{name} 64"].get(one) for one in shares] for name in names}),
    }
