"""Plots in SVG: throughput and CPU by concurrency, percentiles of latency."""
import math

NAMES = {"ours": "#1f77b4", "libpq": "#555555", "tokio-postgres": "#d95f02", "pgx": "#1b9e77"}
CONCURRENCY = (1, 8, 64, 256, 1000)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 340, 60, 130, 44, 56


def step(most):
    """A round number of which four to ten make the axis."""
    size = 10 ** math.floor(math.log10(most / 4))
    return next(size * many for many in (1, 2, 2.5, 5, 10) if size * many * 10 >= most and most / (size * many) <= 6)


def apart(places, least=15):
    """Places of labels from top to bottom, moved so that none covers another."""
    order = sorted(range(len(places)), key=places.__getitem__)
    for before, after in zip(order, order[1:]):
        places[after] = max(places[after], places[before] + least)
    return places


def axis(values, logarithmic):
    """Where grid lines are, from bottom to top, and a function from a value to its part of the height."""
    if logarithmic:
        low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))
        high = max(high, low + 1)
        lines = [many * 10.0 ** power for power in range(low, high) for many in (1, 2, 5)] + [10.0 ** high]
        if high - low > 2:
            lines = lines[::3]
        return lines, lambda value: (math.log10(value) - low) / (high - low)
    each = step(max(values))
    count = math.ceil(max(values) / each)
    return [each * i for i in range(count + 1)], lambda value: value / (each * count)


def chart(title, below, labels, series, logarithmic=False):
    """Lines over labels that are equally far apart; series is {name: [value or None, ...]}."""
    series = {name: values for name, values in series.items() if any(values)}
    lines, part = axis([value for values in series.values() for value in values if value] or [1], logarithmic)
    x = lambda i: LEFT + (WIDTH - LEFT - RIGHT) * i / max(1, len(labels) - 1)
    y = lambda value: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part(value)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="13">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="15">{title}</text>']
    for line in lines:
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(line):.1f}" y2="{y(line):.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y(line) + 4:.1f}" text-anchor="end">{line:,g}</text>')
    for i, label in enumerate(labels):
        out.append(f'<text x="{x(i):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{label}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{below}</text>')
    ends = apart([y(next(value for value in reversed(values) if value)) + 4 for values in series.values()])
    for (name, values), end in zip(series.items(), ends):
        points = [(x(i), y(value)) for i, value in enumerate(values) if value]
        out.append(f'<polyline fill="none" stroke="{NAMES[name]}" stroke-width="2" points="'
                   + " ".join(f"{a:.1f},{b:.1f}" for a, b in points) + '"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{NAMES[name]}"/>' for a, b in points]
        out.append(f'<text x="{WIDTH - RIGHT + 10}" y="{end:.1f}" fill="{NAMES[name]}">{name}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def plots(results):
    """{file: SVG}, once all that they show was measured."""
    if "sweep" not in results:
        return {}
    at = {64: results["workloads"]["W1"]["rows"], 1000: results["workloads"]["W2"]["rows"]}

    def value(name, tasks, what, scale=1):
        row = at[tasks].get(name, {}) if tasks in at else results["sweep"].get(f"{name} {tasks}", {})
        return None if "why" in row or row.get(what) is None else row[what] * scale
    over = lambda what, scale: {name: [value(name, tasks, what, scale) for tasks in CONCURRENCY] for name in NAMES}
    return {
        "throughput.svg": chart("Select by key on 8 connections, thousand statements a second", "tasks", CONCURRENCY,
                                over("rate", 1e-3)),
        "cpu.svg": chart("The same: client CPU for a statement, µs", "tasks", CONCURRENCY, over("cpu", 1)),
        "latency.svg": chart("64 tasks on 8 connections: latency, ms", "percentile", ["50", "90", "99", "99.9"],
                             {name: [value(name, 64, what, 1e-3) for what in ("p50", "p90", "p99", "p999")]
                              for name in NAMES}, logarithmic=True),
    }
