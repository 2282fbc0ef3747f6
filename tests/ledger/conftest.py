"""A new ledger per test, on SQLite and on a real PostgreSQL, and small frames to put into it."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest

from atlas_lib.ledger.sqlite import SqliteDatabase
from atlas_lib.ledger.store import Ledger, open_ledger

DAY = pd.Timestamp("2026-10-30 23:59:59", tz="UTC")
_SCHEMAS = itertools.count(1)


class PostgresServer:
    """A PostgreSQL of its own: private data directory, unix socket and a free loopback port; started and ended by pid."""

    owner, password = "owner", "only for this test"

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder = binaries, folder
        # The server refuses to run as root.
        account = next(n for n in ("postgres", "nobody") if _has_account(n)) if os.geteuid() == 0 else None
        self._as: dict[str, object] = {"user": account, "group": pwd.getpwnam(account).pw_gid} if account else {}
        if account:
            self._as |= {"extra_groups": []}
            shutil.chown(folder, account)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        rules = ["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        command = [binaries / "initdb", "-N", "-D", folder / "data", "-U", self.owner, "--pwfile", secret, *rules]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **self._as)  # type: ignore[call-overload]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        settings = ["listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self._folder}"]
        # Processes are killed here, never the machine: without fsync a restart takes no seconds of a busy disk.
        options = [part for s in (*settings, "shared_buffers=64MB", "fsync=off") for part in ("-c", s)]
        command = [self._binaries / "postgres", "-D", self._folder / "data", *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._as)  # type: ignore[call-overload]
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown; SIGQUIT: at once, as in a crash, with recovery at the next start."""
        if self._process is not None:
            os.kill(self._process.pid, how)
            self._process.wait(60)
            self._process = None

    def url(self, schema: str = "public", user: str = owner) -> str:
        where = f"host={quote(str(self._folder), safe='')}&port={self.port}"
        return f"postgresql:///postgres?{where}&user={user}&options={quote(f'-csearch_path={schema}')}"

    def new_schema(self) -> str:
        """The address of a ledger that does not exist yet."""
        name = f"ledger_{next(_SCHEMAS)}"
        self.run(f"CREATE SCHEMA {name}")
        return self.url(name)

    def run(self, *statements: str, url: str = "") -> None:
        import psycopg

        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _has_account(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "initdb").exists() and (p / "postgres").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Skipped, visibly, where PostgreSQL's programs or its driver are missing."""
    pytest.importorskip("psycopg", reason="the driver is missing: pip install 'psycopg[binary]'")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="atlas-pg-"))
    server = PostgresServer(binaries, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_schema()


@pytest.fixture
def tamper(ledger_url: str) -> Callable[..., None]:
    """Change the store as someone with its owner's rights would: triggers first."""

    def change(*statements: str, url: str = ledger_url) -> None:
        with open_ledger(url, "intruder") as opened:
            for drop in _trigger_drops(opened):
                opened._db.execute(drop)
            for statement in statements:
                opened._db.execute(statement)

    return change


def _trigger_drops(opened: Ledger) -> list[str]:
    if not isinstance(opened._db, SqliteDatabase):
        found = opened._db.rows(
            "SELECT DISTINCT event_object_table FROM information_schema.triggers WHERE trigger_schema = current_schema() "
            "UNION SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relhastriggers"
        )
        return [f"ALTER TABLE {table} DISABLE TRIGGER USER" for (table,) in found]
    names = opened._db.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    return [f"DROP TRIGGER {name}" for (name,) in names]


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url, "tester", clock_ns=lambda: 1_000_000) as opened:
        yield opened


@pytest.fixture
def submission() -> Callable[..., pd.DataFrame]:
    def make(*ids: str, origin: str = "book.xlsx", fingerprint: str = "f", **columns: object) -> pd.DataFrame:
        frame = pd.DataFrame({"transaction_id": pd.Series(ids, dtype="str")})
        row = {"idempotency_key": "", "origin": origin, "currency": "EUR", "amount_minor": 100, "timestamp": DAY}
        return frame.assign(fingerprint=[f"{fingerprint}-{i}" for i in ids], **{**row, **columns})

    return make


@pytest.fixture
def event() -> Callable[..., pd.DataFrame]:
    def make(*ids: str, event_type: str = "SETTLEMENT_INITIATED", **columns: object) -> pd.DataFrame:
        row = {"batch_id": "B-1", "amount_minor": 100, "currency": "EUR", "timestamp": DAY, "details": "{}"}
        return pd.DataFrame({"transaction_id": list(ids)}).assign(event_type=event_type, **{**row, **columns})

    return make


@pytest.fixture
def transfer() -> Callable[..., pd.DataFrame]:
    def make(count: int, **columns: object) -> pd.DataFrame:
        row = {"debit_account": "assets:bank:EUR", "credit_account": "liabilities:settlement_payable:M-1"}
        return pd.DataFrame({"event": range(count)}).assign(
            **{"amount_minor": 100, "currency": "EUR", **row, **columns}
        )

    return make
