"""Payments from a Kafka topic, against the brokers that librdkafka simulates: real sockets, real client, no disk."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.errors import InputError, SettingsError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest import deliveries
from atlas_lib.ingest.topics import read_values
from atlas_lib.ledger.store import open_ledger
from atlas_lib.service import Pace, serve_intake
from benchmarks.intake_kills import SERVER, count, nothing, payments

kafka = pytest.importorskip("confluent_kafka", reason="needs the extra kafka: pip install 'atlas-settlement[kafka]'")
OUT = ["accepted_count", "again_count", "duplicate_count", "conflict_count", "rejected_count"]


class Broker:
    """A simulated cluster: its brokers listen on this machine as long as the client that made it lives."""

    def __init__(self) -> None:
        self._producer = kafka.Producer({"bootstrap.servers": "simulated", "test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._producer.list_topics(timeout=20).brokers.values()
        self.address = "kafka://" + ",".join(f"{b.host}:{b.port}" for b in brokers) + "/payments"

    def send(self, *values: bytes | None, partition: int = 0) -> None:
        for value in values:
            self._producer.produce("payments", value, partition=partition)
        assert self._producer.flush(20) == 0

    def send_payments(self, first: int, last: int, partition: int = 0) -> None:
        rows = payments(first, last).to_dict("records")
        self.send(*(json.dumps(r).encode() for r in rows), partition=partition)


@pytest.fixture
def broker() -> Iterator[Broker]:
    yield Broker()


def take(address: str, runs: Path, is_endless: bool = False) -> list[dict[str, Any]]:
    taken: list[dict[str, Any]] = []
    report = nothing if is_endless else lambda record: taken.append(dict(record))
    serve_intake(address, runs, IngestSettings(), Pace(0, 0.2, is_endless), report)
    return taken


def test_messages_are_rows_under_the_column_names_of_files():
    values = {7: b'{"Transaction ID": "T1", "Amount": 12.5, "userid": 310100}', 9: b'{"amount": 3, "note": ["a"]}'}
    sheets, rejects = read_values("payments", "0", values)
    assert rejects.empty
    assert sheets[0].header == ("transaction_id", "amount", "user_id", "note")
    assert sheets[0].frame.index.tolist() == [7, 9]
    assert sheets[0].frame.astype(object).where(sheets[0].frame.notna(), None).to_numpy().tolist() == [
        ["T1", 12.5, "310100", None],
        [None, "3", None, '["a"]'],
    ]


@pytest.mark.parametrize(
    ("value", "rule", "found"),
    [
        (b"{half", "NOT_JSON", "no JSON"),
        (b"\xff\xfe\x00", "NOT_JSON", "no JSON"),
        (b"[1, 2]", "NOT_JSON", "another kind"),
        (None, "NOT_JSON", "an empty message"),
        (b"{}", "NO_KNOWN_FIELD", "none of the fields"),
        (b'{"colour": "red"}', "NO_KNOWN_FIELD", "none of the fields"),
        (b"[" * 100_000, "NOT_JSON", "no JSON"),
        (b'{"transaction_id": "T\\ud800"}', "NOT_JSON", "no Unicode"),
        (b'{"transaction_id": "T\xed\xa0\x80"}', "NOT_JSON", "no Unicode"),
        (b'{"amount": 5, "\\udfff": 1}', "NOT_JSON", "no Unicode"),
        (b'{"amount": 5, "reference": ["\\ud800"]}', "NOT_JSON", "no Unicode"),
    ],
)
def test_a_message_that_is_no_row_is_refused_with_its_place(value: bytes | None, rule: str, found: str):
    sheets, rejects = read_values("payments", "3", {41: value})
    assert sheets == []
    place = rejects[["source_file", "source_sheet", "source_row", "rule"]].to_numpy().tolist()
    assert place == [["payments", "3", 41, rule]]
    assert "partition 3, offset 41" in rejects["message"].iloc[0]
    assert found in rejects["message"].iloc[0]


@pytest.mark.parametrize("poison", [{"T000003"}, {"T000000", "T000007"}, {f"T{n:06d}" for n in range(8)}])
def test_messages_that_make_a_reader_fail_are_refused_alone(monkeypatch: pytest.MonkeyPatch, poison: set[str]):
    real = deliveries.clean_inputs

    def clean(sheets: list[Any], *rest: Any) -> Any:
        if poison & {str(cell) for s in sheets for cell in s.frame.to_numpy().ravel()}:
            raise TypeError("a cell of a kind that nobody thought of")
        return real(sheets, *rest)

    monkeypatch.setattr(deliveries, "clean_inputs", clean)
    rows = payments(0, 8).to_dict("records")
    sheets, rejects = read_values("payments", "2", {40 + n: json.dumps(r).encode() for n, r in enumerate(rows)})
    delivery = deliveries.Delivery("d", 1, "payments", "", 0, 0, source_sheet="2")
    counted, tables = deliveries.read_messages(delivery, sheets, rejects, IngestSettings())
    assert (counted.rows_in_count, counted.rejected_count) == (8, len(poison))
    assert 8 - len(tables.get("submissions", ())) == len(poison)
    refused = tables["rejects"].query("rule == 'UNREADABLE_MESSAGE'")
    assert sorted(refused["source_row"]) == sorted(40 + int(name[1:]) for name in poison)
    assert "payments, partition 2, offset" in refused["message"].iloc[0]


def test_a_message_that_is_no_unicode_does_not_stop_the_topic(broker: Broker, runs: Path):
    broker.send(b'{"transaction_id": "T\\ud800", "amount": 5}')
    broker.send_payments(0, 3)
    assert [(r["accepted_count"], r["rejected_count"], r["last_offset"]) for r in take(broker.address, runs)] == [
        (3, 1, 3)
    ]
    assert take(broker.address, runs) == []


def test_messages_are_taken_once_and_the_next_pass_goes_on_behind_them(broker: Broker, runs: Path):
    broker.send_payments(0, 20)
    broker.send(b"no json", b'{"transaction_id": "T9", "amount": 5}')
    broker.send_payments(15, 25, partition=1)
    records = take(broker.address, runs)
    counts = sorted([r["source_sheet"], r["first_offset"], r["last_offset"], *(r[c] for c in OUT)] for r in records)
    assert [r[:3] for r in counts] == [["0", 0, 21], ["1", 0, 9]]
    assert {c: sum(r[c] for r in records) for c in OUT} == dict(zip(OUT, [23, 0, 4, 0, 5], strict=True))
    assert take(broker.address, runs) == []
    broker.send_payments(25, 28)
    assert [(r["first_offset"], r["accepted_count"]) for r in take(broker.address, runs)] == [(22, 3)]
    rejects = pd.read_parquet(runs / "intake" / "rejects").query("severity == 'error'")
    assert (rejects["source_file"] == "payments").all()
    assert {("0", 20, "NOT_JSON"), ("0", 21, "EMPTY_CELL")} <= set(zip(rejects["source_sheet"], rejects["source_row"], rejects["rule"], strict=True))  # fmt: skip


def test_a_reader_killed_at_random_moments_books_every_message_once(broker: Broker, runs: Path, tmp_path: Path):
    chance = random.Random(5)  # noqa: S311 - moments, no secrets
    for number in range(4):
        broker.send_payments(number * 20, number * 20 + 25, partition=number % 2)
        reader = SERVER.Process(target=take, args=(broker.address, runs, True))
        reader.start()
        time.sleep(chance.uniform(1, 4))
        os.kill(reader.pid, signal.SIGKILL)
        reader.join()
    take(broker.address, runs)
    found = count(tmp_path, runs)
    assert (found["rows"], found["accepted"]) == (100, 77)
    assert found["index_rows"] == found["ledger_events"] == 77
    assert [found[n] for n in ("index_twice", "index_without_event", "rows_lost", "leftovers", "ledger_faults")] == [0] * 5  # fmt: skip
    deliveries = pd.read_parquet(runs / "intake" / "deliveries").sort_values(["source_sheet", "first_offset"])
    for _, part in deliveries.groupby("source_sheet"):
        assert part["first_offset"].tolist() == [0, *(part["last_offset"] + 1).tolist()[:-1]]
        assert part["last_offset"].max() == 49


def test_two_readers_at_once_book_every_message_once(broker: Broker, runs: Path, tmp_path: Path):
    broker.send_payments(0, 40)
    readers = [SERVER.Process(target=take, args=(broker.address, runs, True)) for _ in range(2)]
    for reader in readers:
        reader.start()
    broker.send_payments(40, 60)
    deadline = time.monotonic() + 90
    for wanted in itertools.repeat(60):
        parts = list((runs / "intake" / "deliveries").glob("*.parquet"))
        if parts and sum(pd.read_parquet(p)["rows_in_count"].sum() for p in parts) >= wanted:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for reader in readers:
        os.kill(reader.pid, signal.SIGTERM)
        reader.join(60)
    assert [r.exitcode for r in readers] == [0, 0]
    found = count(tmp_path, runs)
    assert (found["rows"], found["accepted"], found["index_rows"], found["ledger_events"]) == (60, 54, 54, 54)


def test_a_broker_that_goes_is_said_once_and_not_in_the_client_s_own_lines(broker: Broker, runs: Path, capfd):
    from atlas_lib.ingest.topics import Topic

    broker.send_payments(0, 3)
    address = broker.address.removeprefix("kafka://").partition("/")[0]
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "test") as ledger:
        topic = Topic(
            address, "payments", ledger, IngestSettings(), {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 50}
        )
        topic.seek_all()
        del broker._producer
        said: list[str] = []
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            topic.poll(0.2)
            said += topic.new_troubles()
        for _ in range(5):
            topic.poll(0.2)
            said += topic.new_troubles()
        topic.close()
    assert said
    assert len(said) <= 2  # this broker, and that all are away
    assert "rdkafka" not in capfd.readouterr().err


def test_messages_that_are_gone_before_they_were_taken_are_said(broker: Broker, runs: Path):
    broker.send_payments(0, 5)
    take(broker.address, runs)
    with open_ledger(f"sqlite:///{runs / 'ledger.sqlite'}", "test") as ledger:
        prefix = ledger._db.value("SELECT commit_key FROM commitment").rsplit("/", 1)[0]
        ledger.commit_once(f"{prefix}/{5:020d}", "77")
    with pytest.raises(InputError, match="offset 77"):
        take(broker.address, runs)


def test_security_settings_come_from_a_file_that_the_environment_names(
    broker: Broker, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """TLS asked of a broker that speaks none: the setting has reached the client."""
    monkeypatch.setattr("atlas_lib.ingest.topics._ANSWER_SECONDS", 2.0)
    settings = tmp_path / "kafka.properties"
    settings.write_text("# for the client\nsecurity.protocol = SSL\nlog_level=0\n")
    monkeypatch.setenv("ATLAS_KAFKA_CONFIG", str(settings))
    with pytest.raises(InputError, match="do not answer"):
        take(broker.address, runs)
    monkeypatch.setenv("ATLAS_KAFKA_CONFIG", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="cannot be read"):
        take(broker.address, runs)


def test_an_address_that_leads_nowhere_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match="kafka://broker:port/topic"):
        take("kafka://host:9092", runs)
    monkeypatch.setattr("atlas_lib.ingest.topics._ANSWER_SECONDS", 0.5)
    with pytest.raises(InputError, match="do not answer"):
        take("kafka://127.0.0.1:1/payments", runs)
