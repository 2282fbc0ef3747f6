"""The intake as a process: clock, signals, ledger and source put together, until it is done or told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atlas_lib.core.engine import open_engine
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.run import ledger_url
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest.arrivals import Arrivals
from atlas_lib.ingest.follow import Intake, follow_folder
from atlas_lib.ingest.topics import Topic, follow_topic
from atlas_lib.ledger.store import Ledger, open_ledger

_KAFKA = "kafka://"


class Report(Protocol):
    """Told of every delivery that is finished."""

    def __call__(self, record: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Pace:
    """How long a file must stand still, how often to look, and whether to stay."""

    settle_seconds: float
    poll_seconds: float
    is_endless: bool


def serve_intake(source: str, runs_dir: Path, settings: IngestSettings, pace: Pace, report: Report) -> int:
    """Take from a folder or a topic; how many files were refused as a whole, or could not be read.

    SIGTERM and SIGINT end it after the delivery that is under way.
    """
    refused = 0

    def count(record: Mapping[str, Any]) -> None:
        nonlocal refused
        refused += record["status"] in ("refused", "unread")
        report(record)

    is_topic = source.startswith(_KAFKA)
    arrivals = Arrivals(Path(source), pace.settle_seconds)
    if not is_topic:
        arrivals.poll(time.monotonic())  # a folder that is not there is said before anything is made
    with _stopping() as stopped, open_ledger(ledger_url(runs_dir), writer="intake") as ledger:
        engine = open_engine(settings.engine)
        intake = Intake(runs_dir / "intake", ledger, engine, settings, time.time_ns, time.monotonic)

        def wait() -> None:
            stopped.wait(pace.poll_seconds)

        if is_topic:
            with closing(_open_topic(source, ledger, settings)) as topic:
                follow_topic(intake, topic, count, pace.poll_seconds, stopped.is_set, pace.is_endless)
        else:
            follow_folder(intake, arrivals, count, wait, stopped.is_set, time.monotonic, pace.is_endless)
    return refused


def _open_topic(address: str, ledger: Ledger, settings: IngestSettings) -> Topic:
    """`kafka://broker:port,broker:port/topic`; security settings come from the file that ATLAS_KAFKA_CONFIG names."""
    brokers, _, name = address.removeprefix(_KAFKA).partition("/")
    if not brokers or not name or "/" in name:
        raise SettingsError(
            "The topic's address is not understood", expected="kafka://broker:port/topic", found=address
        )
    path = os.environ.get("ATLAS_KAFKA_CONFIG")
    return Topic(brokers, name, ledger, settings, _read_properties(Path(path)) if path else {})


def _read_properties(path: Path) -> dict[str, str]:
    """Lines of `name=value` as the Kafka client knows them; `#` begins a remark."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError("The Kafka settings cannot be read", where=str(path), found=str(error)) from error
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; what they did before is put back at the end."""
    event = threading.Event()
    before = {s: signal.signal(s, lambda *_: event.set()) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
