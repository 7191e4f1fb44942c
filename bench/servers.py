"""The servers that the workloads speak to: a PostgreSQL of our own, PgBouncer, `bit serve`."""
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BIN = "/usr/lib/postgresql/15/bin"
TABLES = """
CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance bigint NOT NULL,
                      seen int NOT NULL DEFAULT 0) WITH (fillfactor = 50);
INSERT INTO account SELECT i, 'name-' || i, i::bigint * 7919 % 1000003 FROM generate_series(1, 100000) i;
CREATE TABLE entry (id int, label text, amount double precision);
INSERT INTO entry SELECT i, 'label-' || i % 1000, i * 0.5 FROM generate_series(1, 1000000) i;
VACUUM ANALYZE account;
VACUUM ANALYZE entry;
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def unprivileged():
    """PostgreSQL's programs and PgBouncer refuse to run as root."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def tree(root):
    """A process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as file:
                parents[int(entry)] = int(file.read().rsplit(")", 1)[1].split()[1])
    found, todo = set(), [root]
    while todo:
        one = todo.pop()
        if one in found:
            continue
        found.add(one)
        todo += [child for child, parent in parents.items() if parent == one]
    return found


def processor_seconds(root, alone=False):
    """What a process, and all below it, have used, their ended children included."""
    ticks = 0
    for one in {root} if alone else tree(root):
        with contextlib.suppress(OSError), open(f"/proc/{one}/stat") as file:
            ticks += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Server:
    """A process that ends with the block that started it."""

    def start(self, command, as_user=None):
        options = {"user": as_user.pw_uid, "group": as_user.pw_gid} if as_user and os.geteuid() == 0 else {}
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log,
                                        stdin=subprocess.DEVNULL, cwd=self.directory, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(self.ends_by)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    ends_by = signal.SIGTERM

    def wait_for(self, port, seconds=30):
        until = time.monotonic() + seconds
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    with open(self.log.name) as log:
                        raise SystemExit(f"{type(self).__name__} does not start:\n{log.read()[-2000:]}")
                time.sleep(0.02)


class Postgres(Server):
    ends_by = signal.SIGINT

    def __init__(self):
        user = unprivileged()
        self.directory = tempfile.mkdtemp(prefix="bitdotio-bench-")
        if os.geteuid() == 0:
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        options = {"user": user.pw_uid, "group": user.pw_gid} if os.geteuid() == 0 else {}
        data = os.path.join(self.directory, "data")
        with open(os.path.join(self.directory, "password"), "w") as file:
            file.write("bench")
        subprocess.run([f"{BIN}/initdb", "-D", data, "-U", "bench", "-A", "trust", "-N"], check=True,
                       stdout=subprocess.DEVNULL, cwd=self.directory, **options)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", f"{data}/server.key",
                        "-out", f"{data}/server.crt"], check=True, stderr=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, cwd=self.directory, **options)
        self.port = free_port()
        self.certificate = f"{data}/server.crt", f"{data}/server.key"
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "max_connections": 300,
                    "unix_socket_directories": self.directory, "ssl": "on", "shared_buffers": "512MB",
                    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
                    "max_wal_size": "4GB", "autovacuum": "off", "jit": "off"}
        self.start([f"{BIN}/postgres", "-D", data,
                    *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))], user)
        self.wait_for(self.port)
        for statement in ("CREATE DATABASE bench",):
            self.psql(statement, "postgres")
        self.psql(TABLES)

    def psql(self, text, database="bench"):
        return subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.address(database=database)],
                              input=text, check=True, text=True, capture_output=True).stdout.strip()

    def address(self, tls=False, database="bench", port=None):
        return (f"postgresql://bench@127.0.0.1:{port or self.port}/{database}"
                f"?sslmode={'require' if tls else 'disable'}")


class PgBouncer(Server):
    ends_by = signal.SIGTERM

    def __init__(self, postgres):
        user = unprivileged()
        self.directory = tempfile.mkdtemp(prefix="bitdotio-bench-")
        self.port = free_port()
        certificate = []
        for name, path in zip(("crt", "key"), postgres.certificate):
            certificate.append(shutil.copy(path, os.path.join(self.directory, name)))
        with open(os.path.join(self.directory, "users"), "w") as file:
            file.write('"bench" ""\n')
        with open(os.path.join(self.directory, "ini"), "w") as file:
            file.write(f"""[databases]
bench = host={postgres.directory} port={postgres.port} dbname=bench user=bench
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
auth_type = any
auth_file = {self.directory}/users
pool_mode = session
default_pool_size = 200
max_client_conn = 400
client_tls_sslmode = require
client_tls_cert_file = {certificate[0]}
client_tls_key_file = {certificate[1]}
unix_socket_dir =
log_connections = 0
log_disconnections = 0
""")
        if os.geteuid() == 0:
            for path in [self.directory, *(os.path.join(self.directory, name) for name in os.listdir(self.directory))]:
                os.chown(path, user.pw_uid, user.pw_gid)
        self.start(["/usr/sbin/pgbouncer", os.path.join(self.directory, "ini")], user)
        self.wait_for(self.port)


class BitServe(Server):
    """programs/server.cpp, which is `bit serve` without a limit of calls."""

    def __init__(self, program, backend=None):
        self.directory = tempfile.mkdtemp(prefix="bitdotio-bench-")
        os.chmod(self.directory, 0o711)
        self.start([program, self.directory, *([backend] if backend else [])])
        if not self.process.stdout.readline().startswith(b"ready"):
            with open(self.log.name) as log:
                raise SystemExit(f"bit serve does not start:\n{log.read()[-2000:]}")
        with open(os.path.join(self.directory, "profile.json")) as file:
            self.profile = json.load(file)
        self.api_url = self.profile["api_url"].rstrip("/")
        if not self.api_url.endswith("/v2beta"):
            self.api_url += "/v2beta"


class Bare(Server):
    """services/bare.cpp, which has one answer to everything, and a profile that leads a client there."""

    ends_by = signal.SIGKILL

    def __init__(self, program, certificate, answer, profile):
        self.directory = tempfile.mkdtemp(prefix="bitdotio-bench-")
        body = os.path.join(self.directory, "answer.json")
        with open(body, "w") as file:
            file.write(answer)
        self.start([program, *certificate, body])
        self.profile = {**profile, "api_url": f"https://localhost:{int(self.process.stdout.readline())}",
                        "ca_file": certificate[0]}
        path = os.path.join(self.directory, "profile.json")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            json.dump(self.profile, file)
