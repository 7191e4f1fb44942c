"""W10: the same HTTP service in several languages, each on one thread of its own code, loaded by wrk."""
import json
import urllib.request

import wrk
from servers import Said

PROGRAMS = {"ours: Beast and the pool": "service", "Go: net/http and pgx": "go-service",
            "node: http and postgres": "node-service", "node: http and pg": "node-pg-service",
            "Python: asyncio and asyncpg": "python-service"}
CALLS = {"one row": ("/account/", "GET"), "twenty rows": ("/accounts/", "GET"), "an update": ("/account/", "POST")}


def account(number):
    return {"id": number, "name": f"name-{number}", "balance": number * 7919 % 1_000_003}


TRUE = {"one row": account(4711), "twenty rows": [account(4711 + i) for i in range(20)], "an update": {"changed": 1}}


def answer(port, path, method):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}4711", method=method)
    with urllib.request.urlopen(request, timeout=10) as said:
        return json.load(said)


def one_round(context, program):
    """{call: measure} of a service that was just started."""
    found = {}
    with Said([*context.commands[program], context.postgres.address(), "8"]) as running:
        url = f"http://127.0.0.1:{running.port}"
        wrk.warm(context, url, "/account/")
        for call, (path, method) in CALLS.items():
            said = answer(running.port, path, method)
            if said != TRUE[call]:
                found[call] = f"answered wrongly: {said}"
                continue
            found[call] = wrk.load(context, running.process.pid, url, path, method, numbered=True)
    return found


def services(context):
    found = {f"{call}; {name}": [] for call in CALLS for name in PROGRAMS}
    for _ in range(context.rounds):
        for name, program in PROGRAMS.items():
            why = context.missing.get(program)
            measures = dict.fromkeys(CALLS, why) if why else one_round(context, program)
            for call, measure in measures.items():
                found[f"{call}; {name}"].append(measure)
    return found
