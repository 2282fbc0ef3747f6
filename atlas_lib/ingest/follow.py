"""Micro-batches: each delivery is booked, screened and appended to the streaming index as it comes, exactly once.

```
<runs_dir>/intake/staged/<delivery>/               put aside, not finished yet
                  transactions/<delivery>.parquet  accepted here for the first time
                  past/                            the same in fewer files, for screening
                  followed_index/, intake_results/, screening_findings/, rejects/, merchants/, ...   likewise
                  to_correct/<delivery>.xlsx       the refused rows, to correct and send back
                  deliveries/<delivery>.parquet    written last: the delivery is accounted for
                  .lock                            one delivery at a time, whoever follows
```
Order: put aside, book in the ledger (its unique keys decide, for runs at the same time too), write the parts, write
`deliveries`. Every step can be repeated: the ledger answers as it did before, a part that stands stays. So a follower
that was killed at any moment goes on where it stopped, and finishes what it had put aside before it takes more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from atlas_lib.core.engine import Engine
from atlas_lib.core.errors import LedgerError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.arrivals import Arrivals, stamp_of
from atlas_lib.ingest.deliveries import REFERENCE, Delivery, Tables, describe_file, put_aside, read_file, take_up
from atlas_lib.ingest.history import drop_known, screen_arriving
from atlas_lib.ingest.intake import accept_submissions
from atlas_lib.ingest.parts import Parts, writing
from atlas_lib.ingest.past import MERGED_AFTER, Past
from atlas_lib.ingest.resend import write_rejects_workbook
from atlas_lib.ledger.store import Ledger

Record = dict[str, Any]
Report = Callable[[Record], None]


class OvertakenError(LedgerError):
    """Another process has booked from this offset on: what was put aside here is void."""


class Intake:
    """The intake folder of a runs directory, with the ledger that it shares with the runs.

    `clock_ns` is the time of day that is written down, `monotonic` counts the seconds that work takes.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        engine: Engine,
        settings: IngestSettings,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        merged_after: int = MERGED_AFTER,
    ) -> None:
        import filelock

        self._ledger, self._engine, self._settings = ledger, engine, settings
        self._clock_ns, self._monotonic = clock_ns, monotonic
        self._staged, self._parts, self._past = folder / "staged", Parts(folder), Past(folder / "past", merged_after)
        with writing(folder):
            self._staged.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(folder / ".lock")
            self._lock.acquire().lock.release()

    def take_file(self, path: Path) -> list[Record]:
        """Take a complete file; the records of what was finished: deliveries left unfinished, then this one.

        Nothing when it was taken before, has gone, or changes while it is read (it comes again when it stands still).
        What the machine refuses (permission, disk, memory) gives a record `unread` that is kept nowhere.
        """
        unread: list[Record] = []

        def read(number: int) -> tuple[Delivery, Tables] | None:
            try:
                return read_standing(number)
            except (OSError, MemoryError) as error:
                reason = f"{type(error).__name__}: {error}"
                unread.append({"source_file": path.name, "source_sheet": "", "status": "unread", "reason": reason})
                return None

        def read_standing(number: int) -> tuple[Delivery, Tables] | None:
            with suppress(FileNotFoundError):
                before = stamp_of(path)
                delivery = describe_file(path, number)
                if not self._parts.has("deliveries", delivery.delivery_id):
                    found = read_file(delivery, path, self._settings)
                    return found if stamp_of(path) == before else None
            return None

        return self.take(read) + unread

    def take(self, make: Callable[[int], tuple[Delivery, Tables] | None]) -> list[Record]:
        """Take the delivery that `make(number)` gives once earlier ones are finished; None is nothing to take."""
        with self._lock:
            records = self._finish_staged()
            started = self._monotonic()
            made = make(self._parts.count("deliveries") + 1)
            if made is not None:
                put_aside(self._staged, *made)
                records += self._finish(self._staged / made[0].delivery_id, started)
            return records

    def finish(self) -> list[Record]:
        """Finish what was put aside and left; its records."""
        with self._lock:
            self._parts.sweep()
            return self._finish_staged()

    def _finish_staged(self) -> list[Record]:
        self._past.sweep()
        records: list[Record] = []
        for folder in sorted(self._staged.iterdir()):
            if folder.name.startswith(".") or self._parts.has("deliveries", folder.name):
                shutil.rmtree(folder)  # half put aside, or finished: a process was killed there
            else:
                records += self._finish(folder, self._monotonic())
        return records

    def _finish(self, folder: Path, started: float) -> list[Record]:
        """Book, screen and append what lies in `folder`; every step may be a repetition."""
        delivery, tables = take_up(folder)
        try:
            intake = self._book(delivery, tables["submissions"])
        except OvertakenError:
            shutil.rmtree(folder)
            return []
        arriving = self._first_accepted(delivery.delivery_id, intake.transactions)
        reference = self._reference(delivery, tables, arriving)
        screened = self._screen(arriving, intake.intake_results, reference)
        record = self._record(delivery, intake, len(arriving), len(screened["screening_findings"]))
        stamp = {c: record[c] for c in ("delivery_id", "arrived_at", "delay_seconds")}
        index = screened["streaming_index"].assign(**stamp, ingested_at=record["indexed_at"])
        finished = {
            "followed_index": index,
            "intake_results": intake.intake_results,
            "screening_findings": screened["screening_findings"],
            "rejects": _without_known(tables["rejects"], reference.merchants),
            "deliveries": pd.DataFrame([record]),
        }
        self._past.add(self._parts.path("transactions", delivery.delivery_id))
        for table, frame in finished.items():
            self._parts.write(table, delivery.delivery_id, frame)
        workbook = self._return_rejects(delivery.delivery_id, tables)
        shutil.rmtree(folder)
        return [record | {"seconds": self._monotonic() - started, "rejects_workbook": workbook}]

    def _return_rejects(self, delivery_id: str, tables: Tables) -> str:
        """The workbook to correct and send back; empty when nothing was refused."""
        if tables["refused_cells"].empty:
            return ""
        path = self._parts.folder / "to_correct" / f"{delivery_id}.xlsx"
        with writing(path.parent):
            path.parent.mkdir(exist_ok=True)
            return str(write_rejects_workbook(path, SimpleNamespace(**tables), self._settings.as_of))

    def _book(self, delivery: Delivery, submissions: pd.DataFrame) -> SimpleNamespace:
        """The ledger's decision on every row, in one transaction with the delivery's commitment.

        The same row in a file that is read again is the same submission; a message sent again is another one.
        """
        origin = delivery.source_file
        if delivery.first_offset is not None:
            origin = f"{origin}, offsets {delivery.first_offset} to {delivery.last_offset} of partition"
        with self._ledger.together() if delivery.commitment else nullcontext():
            if delivery.commitment:
                won, stands = self._ledger.commit_once(*delivery.commitment)
                if not won and stands != delivery.commitment[1]:
                    raise OvertakenError("Another process took these messages", where=delivery.source_file)
            ttl = self._settings.idempotency_ttl_hours
            rows = submissions.assign(source_file=origin)
            accepted = accept_submissions(rows, self._engine, self._ledger, ttl)
        frames = {n: t for n, t in accepted.items() if isinstance(t, pd.DataFrame)}
        return SimpleNamespace(**{n: t.assign(source_file=delivery.source_file) for n, t in frames.items()})

    def _first_accepted(self, delivery_id: str, accepted: pd.DataFrame) -> pd.DataFrame:
        """The accepted rows that no other delivery brought; what was decided once stands."""
        if not self._parts.has("transactions", delivery_id):
            self._parts.write("transactions", delivery_id, drop_known(accepted, self._past, self._engine))
        return self._parts.read("transactions", delivery_id)

    def _reference(self, delivery: Delivery, tables: Tables, arriving: pd.DataFrame) -> SimpleNamespace:
        """Merchants, policies and signals as the newest delivery that names each of them says."""
        for name in REFERENCE:
            number = {"delivery_number": delivery.delivery_number}
            self._parts.write(name, delivery.delivery_id, tables[name], number)
        only = {"fraud_signals": ("transaction_id", arriving["transaction_id"].tolist())}
        return SimpleNamespace(**{n: _newest(n, self._parts.read(n, only=only.get(n))) for n in REFERENCE})

    def _screen(self, arriving: pd.DataFrame, results: pd.DataFrame, reference: SimpleNamespace) -> Tables:
        if arriving.empty and results.empty:
            return {name: declared(name).empty() for name in ("streaming_index", "screening_findings")}
        return screen_arriving(arriving, self._past, reference, results, self._engine, self._settings)

    def _record(self, delivery: Delivery, intake: SimpleNamespace, accepted: int, findings: int) -> Record:
        """One row of `deliveries`."""
        now_us = self._clock_ns() // 1000
        counts = intake.intake_results["status"].value_counts()
        known = {k: v for k, v in asdict(delivery).items() if k in declared("deliveries").column_names}
        return known | {
            "accepted_count": accepted,
            "again_count": len(intake.transactions) - accepted,
            "duplicate_count": int(counts.get("duplicate", 0)),
            "conflict_count": int(counts.get("conflict", 0)),
            "findings_count": findings,
            "arrived_at": pd.Timestamp(delivery.arrived_us, unit="us", tz="UTC"),
            "indexed_at": pd.Timestamp(now_us, unit="us", tz="UTC"),
            "delay_seconds": max(now_us - delivery.arrived_us, 0) / 1e6,
        }


def follow_folder(
    intake: Intake,
    arrivals: Arrivals,
    report: Report,
    wait: Callable[[], None],
    is_stopped: Callable[[], bool],
    monotonic: Callable[[], float],
    is_endless: bool,
) -> None:
    """Take files as they become complete, until stopped; else until every file that is there was tried once.

    A file that cannot be read now is reported once per reason; who stays tries it again later.
    """
    said: set[tuple[str, str]] = set()
    for record in intake.finish():
        report(record)
    while not is_stopped():
        for path in arrivals.poll(monotonic()):
            unread = _report_new(intake.take_file(path), said, report)
            if unread and is_endless:
                arrivals.postpone(path, monotonic())
            else:
                arrivals.took(path)
            if is_stopped():
                return
        if not (is_endless or arrivals.has_open_files):
            return
        wait()


def _report_new(records: list[Record], said: set[tuple[str, str]], report: Report) -> bool:
    """Report what `said` does not hold yet; whether the file could not be read."""
    unread = {(r["source_file"], r["reason"]) for r in records if r["status"] == "unread"}
    for record in records:
        if record["status"] != "unread" or not unread <= said:
            report(record)
    said |= unread
    return bool(unread)


def _newest(name: str, found: pd.DataFrame) -> pd.DataFrame:
    """One row per key: the newest one that says something (a merchant known by name only says nothing)."""
    is_bare = (found["kyc_status"] == "UNKNOWN") & (found["risk_level"] == "UNRATED") if name == "merchants" else False
    numbered = found.assign(is_bare=is_bare, delivery_number=found.get("delivery_number", 0))
    ordered = numbered.sort_values(["is_bare", "delivery_number"], ascending=[False, True])
    return declared(name).shaped(ordered.drop_duplicates(list(declared(name).key), keep="last"))


def _without_known(rejects: pd.DataFrame, merchants: pd.DataFrame) -> pd.DataFrame:
    """A merchant that this delivery does not list may be known from an earlier one."""
    is_known = (rejects["rule"] == "UNKNOWN_MERCHANT") & rejects["value"].isin(merchants["merchant_id"])
    return rejects[~is_known]
