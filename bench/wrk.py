"""Loads a server by wrk, and says what came of it as the programs by the contract do."""
import os
import re

from servers import peak_memory, processor_seconds

CONNECTIONS = 64


def to_seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


# Paths that end in a number ask for another one each time.
SCRIPT = """
local id = 0
wrk.method = "%(method)s"
%(headers)s
request = function()
  id = id * 31 %% 99991 + 7
  return wrk.format(nil, "%(path)s" .. (%(numbered)s and id %% 99900 + 1 or ""))
end
"""


def warm(context, url, path):
    """A second of load that does not count: connections open, compilers of scripts have seen the code."""
    script = os.path.join(context.scratch, "warm.lua")
    with open(script, "w") as file:
        file.write(SCRIPT % {"method": "GET", "path": path, "numbered": "true", "headers": ""})
    context.finished(["wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", "-s", script, url])


def load(context, process, url, path, method="GET", numbered=False, headers=None, connections=CONNECTIONS):
    """The measure of a load of one thread, with the CPU and the peak of memory of the process that serves it."""
    script = os.path.join(context.scratch, "wrk.lua")
    with open(script, "w") as file:
        lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in (headers or {}).items())
        file.write(SCRIPT % {"method": method, "path": path, "numbered": str(numbered).lower(), "headers": lines})

    def work():
        used = processor_seconds(process, alone=True)
        status, said, problem = context.finished(
            ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(context.seconds))}s", "--latency", "-s", script, url])
        if status:
            return problem.strip()[-300:] or f"wrk: status {status}"
        at = {name: to_seconds(value) * 1e6 for name, value in re.findall(r"^ +(50|90|99)% +(\S+)$", said, re.M)}
        operations, seconds = re.search(r"(\d+) requests in ([\d.]+\w+)", said).groups()
        errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
        for words in re.findall(r"Socket errors: (.*)", said):
            errors += sum(map(int, re.findall(r"\d+", words)))
        return {"operations": int(operations), "seconds": to_seconds(seconds), "errors": errors,
                "cpu": processor_seconds(process, alone=True) - used, "peak": peak_memory(process),
                "p50": at["50"], "p90": at["90"], "p99": at["99"]}
    return context.undisturbed(work)
