"""Builds every program, and says why one cannot be had."""
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "bench")
HERE = os.path.join(ROOT, "bench", "programs")
# Not what else a machine has of these, which may not know Debian's packages.
PYTHON, CARGO, RUSTC, GO = "/usr/bin/python3", "/usr/bin/cargo", "/usr/bin/rustc", "/usr/bin/go"


def run(*command, **options):
    """None, or the last words of a command that failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, **options)
    except OSError as failure:
        return str(failure)
    if done.returncode:
        return (done.stderr or done.stdout).strip()[-400:] or f"status {done.returncode}"
    return None


def build_ours():
    for command in (["cmake", "--preset", "bench"], ["cmake", "--build", "--preset", "bench"]):
        if subprocess.run(command, cwd=ROOT).returncode:
            sys.exit("the library or its programs do not build")


def build_tokio():
    folder = os.path.join(BUILD, "tokio")
    home = os.path.join(BUILD, "cargo")
    shutil.copytree(os.path.join(HERE, "tokio"), folder, dirs_exist_ok=True)
    os.makedirs(home, exist_ok=True)
    with open(os.path.join(home, "config.toml"), "w") as file:
        file.write('[source.crates-io]\nreplace-with = "debian"\n'
                   '[source.debian]\ndirectory = "/usr/share/cargo/registry"\n')
    return run(CARGO, "build", "--release", "--offline", cwd=folder,
               env={**os.environ, "CARGO_HOME": home, "RUSTC": RUSTC})


def build_go(name, source):
    return run(GO, "build", "-o", os.path.join(BUILD, name), source, cwd=HERE,
               env={**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode",
                    "GOCACHE": os.path.join(BUILD, "go")})


def install_node():
    folder = os.path.join(BUILD, "node")
    os.makedirs(folder, exist_ok=True)
    if os.path.isdir(os.path.join(folder, "node_modules", "postgres")):
        return None
    return run("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, "pg@8", "postgres@3")


def build():
    """The command of each program, and the reasons of those that cannot be had."""
    build_ours()
    commands, missing = {}, {}

    def add(failure, **found):
        (missing if failure else commands).update({name.replace("_", "-"): failure or command
                                                   for name, command in found.items()})

    def built(name):
        path = os.path.join(BUILD, "bench", f"bench_{name}")
        return None if os.path.exists(path) else "its package is not installed", [path]

    for name in ("ours", "libpq", "libpqxx", "curl", "api", "service", "wake", "server", "bare", "codec"):
        failure, command = built(name)
        add(failure, **{name: command})
    add(build_tokio(), tokio_postgres=[os.path.join(BUILD, "tokio", "target", "release", "bench-tokio")])
    add(build_go("pgx", "./pgx"), pgx=[os.path.join(BUILD, "pgx")])
    add(build_go("go-service", "../services/go"), go_service=[os.path.join(BUILD, "go-service")])
    failure = install_node()
    os.environ["BENCH_MODULES"] = os.path.join(BUILD, "node")
    for name in ("pg", "postgres"):
        add(failure, **{name: ["node", os.path.join(HERE, "peer.mjs"), name]})
    add(failure, node_service=["node", os.path.join(ROOT, "bench", "services", "service.mjs")])
    for name in ("asyncpg", "psycopg"):
        add(run(PYTHON, "-c", f"import {name}"), **{name: [PYTHON, os.path.join(HERE, "peer.py"), name]})
    add(missing.get("asyncpg"),
        python_service=[PYTHON, os.path.join(ROOT, "bench", "services", "service.py")])
    return commands, missing
