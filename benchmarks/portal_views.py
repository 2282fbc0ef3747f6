"""The portal's tables from a Final Reconciliation Index: time and memory by size, and spend anomalies against planted ones.

    python -m benchmarks.portal_views [rows ...]        default 1000000

Each size runs in a process of its own. The index is a Parquet file, customers have habits of their own (amount, hours, how often
they buy), and one customer in twenty departs from it once: a large purchase, a week of many purchases, a purchase at night.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import (
    judge_compliance,
    list_user_rows,
    merchant_performance,
    profile_spending,
    reconcile_days,
)

START, DAYS, PER_USER = pd.Timestamp("2026-01-01"), 300, 50
SETTINGS = ReconciliationSettings.model_validate({"as_of": "2026-10-30"})
KINDS = ("LARGE_PURCHASE", "SPEND_SPIKE", "UNUSUAL_HOUR")


def habits(rows: int, seed: int = 7) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sales of customers with habits, and what was planted: kind, user_id, week_no."""
    chance = np.random.default_rng(seed)
    users = max(rows // PER_USER, 20)
    user = np.arange(rows) % users
    usual = np.exp(chance.normal(8.3, 0.7, users))
    amount = np.maximum(np.rint(usual[user] * np.exp(chance.normal(0, 0.35, rows))), 100).astype("int64")
    day = chance.integers(0, DAYS, rows)
    hour = (chance.integers(9, 17, users)[user] + chance.integers(0, 4, rows)) % 24
    first = np.arange(users)  # the first purchase of every user is row `user`
    planted = {kind: first[first % 60 == 20 * n] for n, kind in enumerate(KINDS)}
    amount[planted["LARGE_PURCHASE"]] = np.rint(usual[planted["LARGE_PURCHASE"]] * 12).astype("int64")
    night = planted["UNUSUAL_HOUR"]
    hour[night], amount[night] = 3, np.rint(usual[night] * 1.5).astype("int64")
    spree = planted["SPEND_SPIKE"]
    for number in range(1, 16):  # the purchases that follow fall into the week of the first
        same = spree + number * users
        same = same[same < rows]
        day[same] = np.minimum(day[same % users] // 7 * 7 + number % 7, DAYS - 1)
    made = START + pd.to_timedelta(day * 24 + hour, unit="h")
    frame = pd.DataFrame(
        {"number": np.arange(rows), "user": user, "amount_minor": amount, "created_at": made, "day": made.normalize()}
    )
    truth = pd.concat(
        [pd.DataFrame({"kind": k, "user_id": "U" + pd.Series(u).astype("str")}) for k, u in planted.items()]
    )
    return frame, truth


def write_index(path: Path, frame: pd.DataFrame, seed: int = 8) -> None:
    """The sales, with refunds and chargebacks among them, as a file of the declared schema."""
    chance, schema = np.random.default_rng(seed), declared("final_index").arrow_schema
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(frame), 1_000_000):
            part = frame.iloc[start : start + 1_000_000]
            count = len(part)
            other = chance.random(count) < 0.02
            values: dict[str, Any] = {
                "transaction_id": "T" + part["number"].astype("str").str.zfill(9),
                "merchant_id": "M" + pd.Series(chance.zipf(1.3, count) % 2_000, index=part.index).astype("str"),
                "user_id": "U" + part["user"].astype("str"),
                "type": np.where(other & (part["user"] % 60 > 40), "REFUND", np.where(other & (part["user"] % 60 == 31), "CHARGEBACK", "SALE")),
                "amount_minor": part["amount_minor"], "currency": "EUR", "status": "APPROVED",
                "created_at": part["created_at"].dt.tz_localize("UTC"), "date": part["day"].dt.date,
                "risk_label": np.where(chance.random(count) < 0.01, "HIGH", "LOW"), "reconciled_status": "MATCHED",
                "fee_minor": 0, "discrepancy_minor": 0,
            }  # fmt: skip
            columns = [_column(f, values.get(f.name), count) for f in schema]
            writer.write_table(pa.table(columns, schema=schema))


def _column(field: pa.Field, value: Any, count: int) -> pa.Array:
    if np.ndim(value) == 0 and value is not None:
        return pa.repeat(pa.scalar(value, field.type), count)
    if value is not None:
        return pa.array(value, field.type, from_pandas=True)
    if field.nullable:
        return pa.nulls(count, field.type)
    still = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0}.get(field.type, START.tz_localize("UTC"))
    return pa.repeat(pa.scalar(still, field.type), count)


def measure(path: Path, truth: pd.DataFrame) -> dict[str, float]:
    """CPU and clock seconds of all views, CPU seconds of each, peak memory, and how the anomalies compare with those planted.

    No merchants, breaks, bank lines or findings stand beside the index: a day's rows are its payments.
    """
    none = {n: declared(n).empty() for n in ("reserve_coverage", "exposures", "merchants", "screening_findings", "matches", "breaks", "statement_lines")}  # fmt: skip
    lines, work = (none["matches"], none["breaks"], none["statement_lines"]), open_engine("duckdb")
    anomalies: list[pd.DataFrame] = []
    views: dict[str, Callable[[], Any]] = {
        "merchants": lambda: merchant_performance(path, none["reserve_coverage"], none["exposures"], SETTINGS),
        "compliance": lambda: judge_compliance(path, none["merchants"], none["screening_findings"], SETTINGS),
        "user_rows": lambda: list_user_rows(path),
        "daily": lambda: reconcile_days(path, *lines, work),
        "spend": lambda: anomalies.append(profile_spending(path, none["merchants"], SETTINGS)["spend_anomalies"]),
    }
    began, found = time.perf_counter(), {}
    for name, view in views.items():
        before = time.process_time()
        view()
        found[f"{name} cpu"] = time.process_time() - before
    found |= {
        "cpu": sum(found.values()), "clock": time.perf_counter() - began,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip
    for kind in KINDS:
        said = set(anomalies[0].loc[anomalies[0]["kind"] == kind, "user_id"])
        planted = set(truth.loc[truth["kind"] == kind, "user_id"])
        found[f"{kind} precision"] = len(said & planted) / max(len(said), 1)
        found[f"{kind} recall"] = len(said & planted) / max(len(planted), 1)
    return found


def _measure_alone(arguments: tuple[Path, pd.DataFrame]) -> dict[str, float]:
    return measure(*arguments)


def main(sizes: list[int]) -> None:
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.parquet"
            frame, truth = habits(rows)
            write_index(path, frame)
            del frame
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.map(_measure_alone, [(path, truth)])[0]
        sys.stdout.write(json.dumps({"rows": rows} | {k: round(v, 3) for k, v in found.items()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [1_000_000])
