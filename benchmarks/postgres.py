"""A PostgreSQL of its own for a measurement, with the server's default durability (fsync on)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Recommended in docs/ledger.md: none of them touches durability.
SETTINGS = ("shared_buffers=512MB", "max_wal_size=4GB", "wal_writer_delay=10ms")


@dataclass(frozen=True)
class PrivateServer:
    """Where it listens (a unix socket in `folder`)."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.folder}&port={self.port}&user=owner"


@contextmanager
def private_server(port: int = 54_329) -> Iterator[PrivateServer | None]:
    """None, with a line that says so, where the programs are missing."""
    binaries = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
    found = shutil.which("initdb")
    binaries = Path(found).parent if found else binaries
    if binaries is None:
        sys.stdout.write("PostgreSQL is missing (apt-get install postgresql): not measured\n")
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="atlas-pg-"))
    account = None
    if os.geteuid() == 0:  # the server refuses to run as root
        account = next(n for n in ("postgres", "nobody") if any(e.pw_name == n for e in pwd.getpwall()))
        shutil.chown(folder, account)
    initdb = [binaries / "initdb", "-N", "-D", folder / "data", "-U", "owner", "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8"]  # fmt: skip
    subprocess.run(
        initdb, check=True, capture_output=True, cwd=folder, user=account, extra_groups=[] if account else None
    )
    settings = ("listen_addresses=", f"port={port}", f"unix_socket_directories={folder}", *SETTINGS)
    command = [binaries / "postgres", "-D", folder / "data", *(p for s in settings for p in ("-c", s))]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, user=account, extra_groups=[] if account else None
        )
    try:
        _wait(PrivateServer(folder, port))
        yield PrivateServer(folder, port)
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(60)
        shutil.rmtree(folder)


def _wait(server: PrivateServer) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(server.url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
