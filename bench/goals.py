"""What is demanded of a workload, and whether its rows reach it."""
from dataclasses import dataclass

UNITS = {"rate": "", "cpu": " µs of CPU", "p50": " ms", "p99": " ms", "peak": " MiB", "size": " KiB"}
SCALES = {"p50": 1e-3, "p99": 1e-3, "peak": 1 / 1024, "size": 1 / 1024}


@dataclass
class Goal:
    """A row's value against those of other rows, the best of them, or against a bound of its own."""
    bound: float
    what: str = "rate"           # or cpu, p50, p99, peak, size: a field of a summary
    row: str = "ours"
    against: tuple = ()
    difference: bool = False     # not the ratio

    @property
    def is_rate(self):
        return self.what == "rate"

    def reached(self, rows):
        """The value, or None if a row is missing."""
        def value(name):
            row = rows.get(name, {})
            return None if "why" in row or row.get(self.what) is None else row[self.what] * SCALES.get(self.what, 1)
        mine = value(self.row)
        others = [found for found in map(value, self.against) if found]
        if mine is None or self.against and not others:
            return None
        if not self.against:
            return mine
        best = max(others) if self.is_rate else min(others)
        return mine - best if self.difference else mine / best

    def is_met(self, value):
        return value >= self.bound if self.is_rate else value <= self.bound

    def words(self, group=""):
        """Such as: ≥ 0.97 × libpq."""
        names = [name.removeprefix(group + "; ").removesuffix("; ours") for name in self.against]
        of = names[0] if len(names) == 1 else "the best peer"
        sign = "≥" if self.is_rate else "≤"
        what = {"rate": "", "cpu": "CPU ", "p50": "median ", "p99": "p99 ", "peak": "peak ", "size": ""}[self.what]
        if not self.against:
            bound = f"{self.bound:,g}{'/s' if self.is_rate else UNITS[self.what]}"
            return f"{sign} {bound}" if self.what == "cpu" else f"{what}{sign} {bound}"
        if self.difference:
            return f"{what}{sign} {of} + {self.bound:g}{UNITS[self.what]}"
        return f"{what}{sign} {self.bound:g} × {of}"


def at_least(bound, *against, row="ours"):
    return Goal(bound, "rate", row, against)


def at_most(bound, *against, what, row="ours"):
    return Goal(bound, what, row, against)


def judged(goals, rows):
    """[{goal, row, words, value, met}] for the results; value and met are None where a row is missing."""
    found = []
    for goal in goals:
        value = goal.reached(rows)
        group = goal.row.split("; ")[0] if "; " in goal.row else ""
        found.append({"row": goal.row, "words": goal.words(group), "value": value,
                      "met": None if value is None else goal.is_met(value)})
    return found
