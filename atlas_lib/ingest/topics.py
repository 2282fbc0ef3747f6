"""Payments from a Kafka topic: one JSON object per message, under the column names that files use.

The ledger keeps, in the transaction that books them, which offset follows the messages of each delivery
(`kafka/<cluster>/<topic>/<partition>/<first offset>`: next offset). Reading starts from there, never from a consumer
group, so a message is booked once whatever happens between. In `rejects` and in the lineage of a row the topic stands
for the file, the partition for the sheet and the offset for the row.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from atlas_lib.core.errors import InputError, SettingsError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.deliveries import Delivery, Tables, read_messages
from atlas_lib.ingest.follow import Intake, Report
from atlas_lib.ingest.headers import RawSheet, match_columns
from atlas_lib.ingest.rejects import shape_rejects
from atlas_lib.ledger.store import Ledger

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_MOST_MESSAGES = 10_000
_ANSWER_SECONDS = 20.0
# Its lines repeat several times a second while a broker is away; each trouble is reported once a poll instead.
_LOGGER = logging.getLogger("atlas_lib.kafka")
_LOGGER.addHandler(logging.NullHandler())
_EXPECTED = "one JSON object per message, such as {\"transaction_id\": \"T1\", \"amount\": 12.5, ...}"  # fmt: skip


class Topic:
    """A topic's partitions, read from where the ledger stands."""

    def __init__(self, brokers: str, topic: str, ledger: Ledger, settings: IngestSettings, options: Mapping[str, str]):
        try:
            from confluent_kafka import Consumer
        except ImportError as error:
            raise SettingsError(
                "The Kafka client is not installed", expected="confluent-kafka",
                remedy="pip install 'atlas-settlement[kafka]'",
            ) from error  # fmt: skip
        own = {
            "bootstrap.servers": brokers, "group.id": "atlas-intake", "enable.auto.commit": False,
            "enable.auto.offset.store": False, "auto.offset.reset": "error", "enable.partition.eof": True,
            "isolation.level": "read_committed", "error_cb": self._remember,
        }  # fmt: skip
        self.name, self._ledger, self._settings = topic, ledger, settings
        self._troubles: dict[str, str] = {}
        self._said: set[str] = set()
        self._consumer = Consumer({**options, **own}, logger=_LOGGER)
        self._cluster, self._partitions = self._describe(brokers)
        self._positions: dict[int, int] = {}
        self._at_end: set[int] = set()

    def close(self) -> None:
        self._consumer.close()

    def new_troubles(self) -> list[str]:
        """What the client cannot do, such as reach a broker, said once until messages come again; it tries on by itself."""
        found = [text for name, text in self._troubles.items() if name not in self._said]
        self._said |= set(self._troubles)
        self._troubles.clear()
        return found

    def _remember(self, error: KafkaError) -> None:
        self._troubles[error.name()] = error.str()

    @property
    def is_at_end(self) -> bool:
        """Whether every partition was read to its end."""
        return self._at_end == set(self._partitions)

    def seek_all(self) -> None:
        """Read every partition from where the ledger stands."""
        self.seek(self._partitions)

    def seek(self, partitions: Sequence[int]) -> None:
        """Read these partitions from where the ledger stands; all keep their place otherwise."""
        from confluent_kafka import OFFSET_BEGINNING, TopicPartition

        for p in partitions:
            booked = self._next_offset(p)
            self._positions[p] = OFFSET_BEGINNING if booked is None else booked
        self._consumer.assign([TopicPartition(self.name, p, offset) for p, offset in self._positions.items()])
        self._at_end -= set(partitions)

    def poll(self, seconds: float) -> list[list[Message]]:
        """What came within `seconds`, by partition, in the order of their offsets."""
        found: dict[int, list[Message]] = {}
        for message in self._consumer.consume(_MOST_MESSAGES, timeout=seconds):
            if self._is_data(message):
                self._said.clear()
                found.setdefault(message.partition() or 0, []).append(message)
                self._positions[message.partition() or 0] = _offset(message) + 1
        return [found[p] for p in sorted(found)]

    def deliver(self, messages: Sequence[Message], number: int) -> tuple[Delivery, Tables] | None:
        """The messages that are not booked yet as one delivery."""
        partition = messages[0].partition() or 0
        booked = self._next_offset(partition) or 0
        left = [m for m in messages if _offset(m) >= booked]
        if not left:
            return None
        first, last = _offset(left[0]), _offset(left[-1])
        name = hashlib.sha256(f"{self._prefix(partition)}{first}-{last}".encode()).hexdigest()[:20]
        values = [m.value() or b"" for m in left]
        framed = b"".join(len(v).to_bytes(8, "big") + v for v in values)
        delivery = Delivery(
            name, number, self.name, hashlib.sha256(framed).hexdigest(), sum(map(len, values)),
            arrived_us=left[-1].timestamp()[1] * 1000, source_sheet=str(partition), first_offset=first, last_offset=last,
            commitment=(f"{self._prefix(partition)}{first:020d}", str(last + 1)),
        )  # fmt: skip
        sheets, rejects = read_values(self.name, str(partition), {_offset(m): m.value() for m in left})
        return read_messages(delivery, sheets, rejects, self._settings)

    def _describe(self, brokers: str) -> tuple[str, list[int]]:
        from confluent_kafka import KafkaException

        try:
            found = self._consumer.list_topics(self.name, timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            raise InputError("The Kafka brokers do not answer", where=brokers, found=str(error.args[0])) from error
        topic = found.topics[self.name]
        if topic.error is not None or not topic.partitions:
            raise InputError("The topic cannot be read", where=f"{brokers}/{self.name}", found=str(topic.error))
        return str(found.cluster_id), sorted(topic.partitions)

    def _is_data(self, message: Message) -> bool:
        from confluent_kafka import KafkaError

        error = message.error()
        if error is None:
            self._at_end.discard(message.partition() or 0)
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end.add(message.partition() or 0)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise InputError(
                "Messages that were not taken yet are gone from the topic, or it was made anew",
                where=f"{self.name}, partition {message.partition()}", expected=f"offset {message.offset()}",
                found=str(error), remedy="keep messages longer than the follower may stand still; a topic made anew needs a new name",
            )  # fmt: skip
        elif not error.retriable():
            raise InputError("The topic cannot be read", where=self.name, found=str(error))
        return False

    def _prefix(self, partition: int) -> str:
        return f"kafka/{self._cluster}/{self.name}/{partition}/"

    def _next_offset(self, partition: int) -> int | None:
        found = self._ledger.last_committed(self._prefix(partition))
        return None if found is None else int(found)


def follow_topic(
    intake: Intake, topic: Topic, report: Report, poll_seconds: float, is_stopped: Callable[[], bool], is_endless: bool
) -> None:
    """Take messages as they come until stopped; else until every partition was read to its end."""
    for record in intake.finish():
        report(record)
    topic.seek_all()
    while not is_stopped():
        batches = topic.poll(poll_seconds)
        for reason in topic.new_troubles():
            report({"source_file": topic.name, "source_sheet": "", "status": "waiting", "reason": reason})
        for messages in batches:
            records = intake.take(partial(topic.deliver, messages))
            if not any(r["last_offset"] == _offset(messages[-1]) for r in records):
                topic.seek([messages[0].partition() or 0])  # another process was there: go on where it is
            for record in records:
                report(record)
        if not batches and topic.is_at_end and not is_endless:
            return


def read_values(topic: str, partition: str, values: Mapping[int, bytes | None]) -> tuple[list[RawSheet], pd.DataFrame]:
    """Messages as a sheet of payments (row = offset), and `rejects` for those that are no row."""
    parsed = {offset: _parse(value) for offset, value in values.items()}
    named = {offset: _name_fields(row) for offset, row in parsed.items() if isinstance(row, dict)}
    columns = list(dict.fromkeys(name for row in named.values() for name in row))
    known = [columns[p] for p in match_columns("transactions", columns).values()]
    rows, broken = {}, {}
    for offset, row in parsed.items():
        if not isinstance(row, dict):
            broken[offset] = ("NOT_JSON", row)
        elif all(named[offset].get(name) is None for name in known):
            broken[offset] = ("NO_KNOWN_FIELD", "none of the fields is a column of payments")
        else:
            rows[offset] = [named[offset].get(name) for name in columns]
    notes = [
        {
            "source_file": topic, "source_sheet": partition, "source_row": offset, "table": "transactions", "column": "",
            "value": (values[offset] or b"")[:200].decode(errors="replace"), "rule": rule, "severity": "error",
            "message": f"{topic}, partition {partition}, offset {offset}: expected {_EXPECTED}, found: {found}.",
        }
        for offset, (rule, found) in broken.items()
    ]  # fmt: skip
    rejects = shape_rejects(pd.DataFrame(notes)) if notes else declared("rejects").empty()
    if not rows:
        return [], rejects
    frame = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows)), dtype=object)
    return [RawSheet(topic, partition, frame, header=tuple(columns), table="transactions")], rejects


def _parse(value: bytes | None) -> dict[str, Any] | str:
    """The fields of a message, or why it has none. Whole numbers stay the digits they are; a list is kept as text."""
    if not value:
        return "an empty message"
    try:
        found = json.loads(value, parse_int=str)
    except (ValueError, RecursionError) as error:
        return f"no JSON ({error})"
    if not isinstance(found, dict):
        return f"JSON of another kind ({type(found).__name__})"
    row = {k: json.dumps(v, ensure_ascii=False) if isinstance(v, dict | list) else v for k, v in found.items()}
    try:
        "".join(t for t in (*row, *row.values()) if isinstance(t, str)).encode("utf-8")
    except UnicodeEncodeError:
        return "text that is no Unicode (half of a surrogate pair)"
    return row


def _name_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields under their column's name, however they are spelled; a second one of the same meaning keeps its own."""
    named: dict[str, Any] = {}
    for field, value in row.items():
        column = _column_of(field)
        named[field if column in named else column] = value
    return named


@cache
def _column_of(field: str) -> str:
    return next(iter(match_columns("transactions", [field])), field)


def _offset(message: Message) -> int:
    return int(message.offset() or 0)
