"""Workloads that are more than one program against one PostgreSQL: a sleeping database, many who wait, starts.

Each function takes the context of a run and gives {row: [measure, ...]}, a measure for each round: the
fields of a contract line, with the CPU of what is measured.
"""
import os
import signal
import socket
import statistics
import struct
import subprocess
import time

import peers
from servers import BIN, Failed, end, free_port, unprivileged

STARTS = 10
RUNS = 100      # of each program in a round


def first_answer(port, user="bench", database="bench"):
    """Whether a PostgreSQL answers SELECT 1 already, by the protocol and no library."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as one:
            words = f"user\0{user}\0database\0{database}\0\0".encode()
            one.sendall(struct.pack("!II", 8 + len(words), 196608) + words + b"Q\0\0\0\x0dSELECT 1\0")
            data = b""
            while data.count(b"Z\0\0\0\5I") < 2:
                piece = one.recv(4096)
                if not piece or data[:1] == b"E":
                    return False
                data += piece
            return True
    except OSError:
        return False


def start_of_postgres(context):
    """How long PostgreSQL itself takes from its start to a first row."""
    user = unprivileged()
    options = {"user": user.pw_uid, "group": user.pw_gid} if os.geteuid() == 0 else {}
    data = os.path.join(context.postgres.directory, "to-start")
    if not os.path.exists(data):
        subprocess.run([f"{BIN}/initdb", "-D", data, "-U", "bench", "-A", "trust", "-N"], check=True,
                       stdout=subprocess.DEVNULL, cwd=context.postgres.directory, **options)
    port, times = free_port(), []
    for _ in range(STARTS):
        since = time.perf_counter()
        process = subprocess.Popen([f"{BIN}/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                                    "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB", "-c", "fsync=off"],
                                   stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                                   cwd=context.postgres.directory, **options)
        try:
            while not first_answer(port, database="postgres"):
                if process.poll() is not None:
                    return "PostgreSQL does not start"
                time.sleep(0.0005)
            times.append((time.perf_counter() - since) * 1e6)
        finally:
            end(process, signal.SIGINT)
    times.sort()
    return {"operations": len(times), "seconds": sum(times) / 1e6, "errors": 0,
            "p50": times[len(times) // 2], "p90": times[-2], "p99": times[-1]}


def wake(context):
    found = {"1 caller; ours": [], "1,000 callers; ours": [], "the start of PostgreSQL": []}
    for _ in range(context.rounds):
        for row, tasks in (("1 caller; ours", 1), ("1,000 callers; ours", 1000)):
            found[row].append(context.program("wake", "first-row", "-", 1, tasks))
        found["the start of PostgreSQL"].append(context.undisturbed(lambda: start_of_postgres(context)))
    return found


def waiters(context):
    rows = {"acquire; ours": "waiters", "query; ours": "waiters-query",
            "a bare Asio coroutine on a timer": "waiters-bare"}
    found = {row: [] for row in rows}
    for _ in range(context.rounds):
        for row, workload in rows.items():
            one = context.program("ours", workload, context.postgres.address(), 10, 100_000)
            if isinstance(one, dict):
                one["size"] = one["sum"]  # what one of them takes, in bytes
            found[row].append(one)
    return found


def run_in_turns(commands):
    """{row: measure} of programs that are run again and again, from the start to the end of each."""
    times, used = {row: [] for row in commands}, dict.fromkeys(commands, 0)
    for turn in range(RUNS + 1):
        for row, command in commands.items():
            since = time.perf_counter()
            process = os.posix_spawn(command[0], command, os.environ,
                                     file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
            _, status, usage = os.wait4(process, 0)
            if status:
                raise Failed(f"{' '.join(command)} ends with {os.waitstatus_to_exitcode(status)}")
            if turn:  # the first reads the program from the disk
                times[row].append((time.perf_counter() - since) * 1e6)
                used[row] += usage.ru_utime + usage.ru_stime
    return {row: {"operations": RUNS, "seconds": sum(all_times) / 1e6, "errors": 0, "cpu": used[row],
                  "p50": statistics.median(all_times), "p99": sorted(all_times)[RUNS * 99 // 100]}
            for row, all_times in times.items()}


def command_start(context):
    # Not Debian's psql of the same name, which is a script that looks for this one.
    commands = {"ours": [os.path.join(peers.BUILD, "bit"), "--version"], "psql": [f"{BIN}/psql", "--version"]}
    found = {row: [] for row in commands}
    for _ in range(context.rounds):
        of_round = context.undisturbed(lambda: {"rows": run_in_turns(commands)})
        for row, measure in of_round.pop("rows").items():
            found[row].append({**measure, **of_round})
    return found
