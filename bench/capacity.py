#!/usr/bin/python3
"""Many clients of many databases at once: what `bit serve` takes for them, and how quickly it answers.

    bench/capacity.py BIT [DATABASES [CONNECTIONS_EACH]]

BIT is the program, of the preset `release`. Needs python3-asyncpg, as much memory as it reports, and a
limit of descriptors (ulimit -n) of twice the connections. Prints the rows of docs/operating.md.
"""
import asyncio
import json
import os
import random
import resource
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

import asyncpg

program = sys.argv[1]
databases = int(sys.argv[2]) if len(sys.argv) > 2 else 100
each = int(sys.argv[3]) if len(sys.argv) > 3 else 10
queries = 20_000
series = 10_000


def tree(root):
    """A process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parents[int(entry)] = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass  # ended meanwhile
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def kilobytes(pid, file, field):
    try:
        with open(f"/proc/{pid}/{file}") as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def report(server, what):
    everyone = tree(server)
    rss = kilobytes(server, "status", "VmRSS") / 1024
    pss = sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in everyone) / 1024
    descriptors = len(os.listdir(f"/proc/{server}/fd"))
    print(f"| {what} | {rss:,.0f} MiB | {pss:,.0f} MiB | {len(everyone):,} | {descriptors:,} |",
          flush=True)


def share(times, part):
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] * 1000


async def measure(profile, server):
    trusted = ssl.create_default_context(cafile=profile["ca_file"])

    def create(name):
        request = urllib.request.Request(
            profile["api_url"] + "/v2beta/db/", json.dumps({"name": name}).encode(),
            {"Authorization": "Bearer " + profile["key"]})
        with urllib.request.urlopen(request, context=trusted) as answer:
            return json.load(answer)["name"]

    async def connect(name):
        return await asyncpg.connect(
            host=profile["postgres_host"], port=profile["postgres_port"], database=name,
            user="capacity", password=profile["key"], ssl=trusted, timeout=120)

    print("| | memory of the server | with PostgreSQL (PSS) | processes | descriptors |")
    print("|---|---|---|---|---|")
    report(server, "idle")
    names = [create(f"db{i}") for i in range(databases)]
    report(server, f"{databases} databases made, asleep")

    async def connect_all(names, at_once):
        places = asyncio.Semaphore(at_once)

        async def one(name):
            async with places:
                return await connect(name)

        begin = time.monotonic()
        made = await asyncio.gather(*[one(name) for name in names])
        return made, time.monotonic() - begin

    sessions, wakes = await connect_all(names, 8)
    report(server, f"{databases} awake, a connection each")
    more, rest = await connect_all(names * (each - 1), 32)
    sessions += more
    report(server, f"{databases} awake, {each} connections each")

    async def ask(count, times):
        for _ in range(count):
            session = random.choice(idle)
            idle.remove(session)
            begin = time.monotonic()
            await session.fetchval("SELECT 1")
            times.append(time.monotonic() - begin)
            idle.append(session)

    for session in sessions:  # prepares the statement
        await session.fetchval("SELECT 1")
    report(server, "each asked once")
    lines = []
    for at_once in (1, 16):
        idle, times = list(sessions), []
        begin = time.monotonic()
        await asyncio.gather(*[ask(queries // at_once, times) for _ in range(at_once)])
        lines.append(f"`SELECT 1`, {at_once} at once: p50 {share(times, 0.5):.2f} ms, "
                     f"p99 {share(times, 0.99):.2f} ms, "
                     f"{len(times) / (time.monotonic() - begin):,.0f} a second")
    report(server, f"{queries * 2:,} queries later")
    for session in sessions:
        session.terminate()
    begin = time.monotonic()
    for number in range(series):
        session = await connect(names[0])
        await session.fetchval("SELECT 1")
        await session.close()
    taken = time.monotonic() - begin
    await asyncio.sleep(5)  # for the last of PostgreSQL's processes to be gone
    report(server, f"all closed, {series:,} more made and closed in series")
    print(f"\n{databases} databases woken and connected to, 8 at once: {wakes:.1f} s "
          f"({wakes / databases * 1000:.0f} ms each); {len(more):,} further connections, 32 at once: "
          f"{rest:.1f} s ({rest / max(len(more), 1) * 1000:.1f} ms each)")
    lines.append(f"{series:,} connections in series, each with a query: {taken:.0f} s "
                 f"({taken / series * 1000:.1f} ms each)")
    print(*lines, sep="\n")


_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
with tempfile.TemporaryDirectory() as directory:
    os.chmod(directory, 0o711)
    server = subprocess.Popen(
        [program, "serve", "--temporary", "--sleep-after", "1h", "--idle-timeout", "1h", "--profile",
         directory + "/profile.json"], stdout=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if line.startswith("ready"):
                break
        with open(directory + "/profile.json") as file:
            asyncio.run(measure(json.load(file), server.pid))
    finally:
        server.terminate()
        server.wait()
