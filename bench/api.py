"""The API: our client beside libcurl (W11), the server beside a bare one (W13), and what JSON costs (W13D)."""
import contextlib
import json
import os
import ssl
import urllib.request

import wrk
from servers import BitServe, Said, peak_memory, processor_seconds

MANY_ROWS = "SELECT i, 'label-' || i AS label, i * 0.5 AS half FROM generate_series(1, 3000) i"
CLIENTS = 32


class Api:
    """Calls of the API by what Python has."""

    def __init__(self, server):
        self.url, self.key = server.api_url, server.profile["key"]
        self.context = ssl.create_default_context(cafile=server.profile["ca_file"])

    def text(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=json.dumps(body).encode() if body else None,
                                         headers={"Authorization": "Bearer " + self.key,
                                                  "Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=self.context, timeout=120) as answer:
            return answer.read().decode()

    def call(self, *words):
        return json.loads(self.text(*words))

    def kept(self, context, file, *words):
        """The name of a file with an answer."""
        path = os.path.join(context.scratch, file)
        with open(path, "w") as out:
            out.write(self.text(*words))
        return path


def serve(context, backend=None):
    return BitServe(context.commands["server"][0], backend)


@contextlib.contextmanager
def one_database(context):
    """`bit serve` with a database, how it is called, and what the programs need to know of it."""
    with serve(context) as server:
        api = Api(server)
        name = api.call("POST", "/db/", {"name": "bench"})["name"]
        profile = os.path.join(server.directory, "profile.json")
        yield server, api, name, {"BITIO_PROFILE": profile, "BENCH_KEY": api.key, "BENCH_CA": server.profile["ca_file"]}


def api_client(context):
    found = {"ours": [], "libcurl's multi interface": []}
    with one_database(context) as (server, _, name, environment):
        for _ in range(context.rounds):
            for row, program, asked in (("ours", "api", name),
                                        ("libcurl's multi interface", "curl", f"{server.api_url}/db/{name}")):
                found[row].append(context.program(program, "get", asked, 8, 8, environment=environment))
    return found


def api_server(context):
    """GET by wrk, whose own cost is small; queries by our client. CPU and memory are the server's."""
    found = {}
    with one_database(context) as (server, api, name, environment):
        process, headers = server.process.pid, {"Authorization": f"Bearer {api.key}"}
        host, prefix = api.url.removesuffix("/v2beta"), "/v2beta"

        def get(row, path, process=process, host=host):
            found.setdefault(row, []).append(wrk.load(context, process, host, prefix + path, headers=headers,
                                                      connections=CLIENTS))

        def query(row, workload):
            def work():
                used = processor_seconds(process, alone=True)
                one = context.once("api", workload, name, 8, CLIENTS, environment=environment)
                if isinstance(one, dict):
                    one |= {"cpu": processor_seconds(process, alone=True) - used, "peak": peak_memory(process)}
                return one
            found.setdefault(row, []).append(context.undisturbed(work))

        with Said([*context.commands["bare"], *context.postgres.certificate,
                   api.kept(context, "database.json", "GET", "/db/" + name)]) as bare:
            for _ in range(context.rounds):
                get("GET /db/NAME; ours", "/db/" + name)
                get("GET /db/NAME; a bare Beast server", "/db/" + name, bare.process.pid,
                    f"https://localhost:{bare.port}")
                query("POST /query, SELECT 1; ours", "query")
                query("POST /query, 3,000 rows; ours", "query-rows")
        there = 1
        for many in (1, 61, 1_000):
            for number in range(there, many):
                api.call("POST", "/db/", {"name": f"further{number}"})
            there = many
            listed = api.kept(context, "databases.json", "GET", "/db/")
            group = f"GET /db/, {many:,} database{'s' * (many > 1)}; "
            for _ in range(context.rounds):
                get(group + "ours", "/db/")
                found.setdefault(group + "the encoding of its answer", []).append(
                    context.program("codec", "encode-list", listed, 1, 1))
    return found


def decoding(context):
    found = {"ours": [], "Boost.JSON's parse": []}
    with one_database(context) as (_, api, name, _environment):
        rows = api.kept(context, "rows.json", "POST", "/query", {"database_name": name, "query_string": MANY_ROWS})
    for _ in range(context.rounds):
        for row, workload in (("ours", "decode-rows"), ("Boost.JSON's parse", "parse-rows")):
            found[row].append(context.program("codec", workload, rows, 1, 1))
    return found
