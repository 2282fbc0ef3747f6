"""What may go wrong around an append: the disk, the server, the network, the clock."""

from __future__ import annotations

import random
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.errors import LedgerError, StoreUnreachable
from atlas_lib.ledger.store import open_ledger

Make = Callable[..., pd.DataFrame]


def test_a_full_disk_refuses_the_append_whole_and_the_ledger_goes_on_when_there_is_room(
    tmp_path: Path, event: Make, transfer: Make
) -> None:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "tester") as ledger:
        ledger.append("a", event("T-1"), transfer(1))
        head, pages = ledger.head(), ledger._db.value("PRAGMA page_count")
        ledger._db.execute(f"PRAGMA max_page_count = {pages + 20}")
        many = [f"T-{i}" for i in range(2, 2000)]
        with pytest.raises(LedgerError, match="full"):
            ledger.append("b", event(*many), transfer(len(many)))
        assert ledger.head() == head
        assert ledger.verify([head]).empty
        ledger._db.execute("PRAGMA max_page_count = 1000000")
        assert not ledger.append("b", event(*many), transfer(len(many))).is_replay
        assert ledger.verify([head]).empty


def test_a_disk_that_is_full_anywhere_in_an_append_leaves_whole_appends_only(
    tmp_path: Path, event: Make, transfer: Make
) -> None:
    """The operating system itself refuses to let a file grow, at 16 places in what one append writes."""
    many, usual = [f"T-{i}" for i in range(300)], resource.getrlimit(resource.RLIMIT_FSIZE)
    refused = 0
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "tester") as ledger:
        ledger.append("first", event("T-0"), transfer(1))
        for place in range(16):
            head = ledger.head()
            written = max(f.stat().st_size for f in tmp_path.iterdir())
            resource.setrlimit(resource.RLIMIT_FSIZE, (written + 4096 * place, usual[1]))
            try:
                ledger.append(f"a{place}", event(*many), transfer(len(many)))
            except LedgerError:
                refused += 1
                assert ledger.head() == head
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, usual)
            assert ledger.verify([head]).empty
            ledger.append(f"a{place}", event(*many), transfer(len(many)))
        assert ledger.head().entries == 1 + 16 * len(many)
    assert refused > 8


def test_a_clock_that_goes_backwards_changes_neither_order_nor_chain(
    ledger_url: str, event: Make, transfer: Make
) -> None:
    clock = iter([5_000_000_000, 3_000_000_000, 1_000_000_000])
    days = ["2026-10-30", "2026-10-29", "2026-10-31"]
    with open_ledger(ledger_url, "tester", clock_ns=lambda: next(clock)) as ledger:
        for day in days:
            ledger.append(day, event("T-1", timestamp=pd.Timestamp(day, tz="UTC")), transfer(1))
        assert ledger.events()["timestamp"].dt.strftime("%Y-%m-%d").tolist() == days
        assert ledger.verify([ledger.head()]).empty
        assert ledger.balances(pd.Timestamp("2026-10-30 12:00", tz="UTC"))["debit_minor"].sum() == 200


def test_appends_through_crashes_of_the_server_are_each_written_once(
    postgres: Any, event: Make, transfer: Make
) -> None:
    url, count, dice = postgres.new_schema(), 40, random.Random(7)  # noqa: S311
    receipts: dict[str, int] = {}
    is_open = threading.Event()

    def work() -> None:
        with open_ledger(url, "client") as ledger:
            is_open.set()
            for i in range(count):
                ids = [f"T-{i}-{j}" for j in range(50)]
                receipts[f"a{i}"] = ledger.append(f"a{i}", event(*ids), transfer(50)).first_entry

    client = threading.Thread(target=work, daemon=True)
    client.start()
    assert is_open.wait(30)
    for _ in range(2):
        client.join(dice.uniform(0.05, 0.4))
        postgres.stop(signal.SIGQUIT)
        postgres.start()
    client.join(60)
    with open_ledger(url, "reader") as ledger:
        assert len(receipts) == count
        assert {k: ledger.receipt(k).first_entry for k in receipts} == receipts  # type: ignore[union-attr]
        assert (ledger.head().entries, len(ledger.transfers())) == (50 * count, 50 * count)
        assert ledger.receipt("never") is None
        assert ledger.verify().empty


class ForgetfulWire:
    """A loopback port before the server; the answers to the first `losses` commits are lost, the commits are not."""

    def __init__(self, server_port: int, losses: int) -> None:
        self._server_port, self._left = server_port, losses
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, server = self._listening.accept()[0], socket.create_connection(("127.0.0.1", self._server_port))
                is_lost = threading.Event()
                for pump, *ends in ((self._forward, client, server), (self._answer, server, client)):
                    threading.Thread(target=pump, args=(*ends, is_lost), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, is_lost: threading.Event) -> None:
        with _closing(client, server):
            while data := client.recv(65536):
                if b"COMMIT" in data and self._left:
                    self._left -= 1
                    is_lost.set()
                server.sendall(data)

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket, is_lost: threading.Event) -> None:
        with _closing(client, server):
            while (data := server.recv(65536)) and not is_lost.is_set():
                client.sendall(data)


@contextmanager
def _closing(*ends: socket.socket) -> Iterator[None]:
    with suppress(OSError):
        yield
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def test_a_client_that_lost_its_answer_asks_before_it_writes_again(
    postgres: Any, event: Make, transfer: Make, submission: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    url = postgres.new_schema()
    open_ledger(url, "owner").close()
    schema = url.rpartition("%3D")[2]
    port = ForgetfulWire(postgres.port, losses=2).port
    far = f"postgresql://owner@127.0.0.1:{port}/postgres?options=-csearch_path%3D{schema}&sslmode=disable"
    with open_ledger(far, "client") as ledger:
        assert ledger.append("a", event("T-1"), transfer(1)).is_replay
        assert ledger.intake("b", submission("T-2"))["outcome"].tolist() == ["new"]
        assert ledger.balances()["balance_minor"].tolist() == [100, -100]
        assert ledger.head().entries == 2
        assert ledger.verify().empty


def test_a_server_that_stays_away_is_named_without_secrets(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong")
    for where in (f"127.0.0.1:{postgres.port}", "127.0.0.1:1"):
        with pytest.raises(StoreUnreachable) as gone:
            open_ledger(f"postgresql://owner@{where}/postgres", "client")
        assert where in str(gone.value)
        assert "wrong" not in str(gone.value)
