"""Reserves at scale: summary, tranches and exposures against a pandas groupby of the same figures.

    python -m benchmarks.reserves [--contracts 1000000] [--movements 10000000]

Both sides in this process, one after the other, on 2 cores. The groupby gives sums per merchant and currency (contracts),
and per merchant, currency and day (sales, fees, claims); it knows no calendar, no release, no draw, no limit.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared

_AS_OF, _DAYS = "2026-10-30", 180
_SOURCE = {"source_file": "generated", "source_sheet": "", "source_row": 1}


def main() -> None:
    parser = argparse.ArgumentParser(prog="reserves")
    parser.add_argument("--contracts", type=int, default=1_000_000)
    parser.add_argument("--movements", type=int, default=10_000_000)
    chosen, _ = parser.parse_known_args()
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "transactions.parquet"
        merchants = _merchants(max(chosen.contracts // 50, 10))
        write_transactions(path, chosen.movements, len(merchants))
        contracts = _contracts(chosen.contracts, len(merchants))
        measure(contracts, merchants, path)


def measure(contracts: pd.DataFrame, merchants: pd.DataFrame, path: Path) -> None:
    """Print CPU seconds, wall seconds and the process's peak memory after each part."""
    from atlas_lib.reserves_credit import exposure, payouts, reserves

    settings = ReservesCreditSettings(as_of=_AS_OF)
    rates = declared("fx_rates").empty()
    ours = 0.0
    held, seconds = _timed(
        "tranches, movements, ladder, coverage", lambda: reserves.hold_reserves(contracts, merchants, path, settings)
    )
    ours += seconds
    exposed, seconds = _timed(
        "exposures and concentration",
        lambda: exposure.measure_exposure(contracts, merchants, rates, held["reserve_tranches"], settings),
    )
    ours += seconds
    summary, seconds = _timed("payout summary", lambda: payouts.sum_lines(payouts.contract_lines(contracts, settings)))
    ours += seconds
    _line(
        f"  {len(summary):,} merchants, {len(held['reserve_tranches']):,} tranches, {len(held['reserve_movements']):,} tranche movements, {len(exposed['exposures']):,} exposures"
    )
    grouped, peer = _timed("pandas groupby of the same figures", lambda: _groupby(contracts, path))
    assert grouped[0]["receivable_minor"].sum() == summary["receivables_minor"].sum()  # noqa: S101
    assert grouped[1]["amount_minor"].sum() == _moved(held)  # noqa: S101
    _line(f"ours {ours:.1f} s CPU, groupby {peer:.1f} s CPU, ratio {ours / peer:.2f}")


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _moved(held: dict[str, pd.DataFrame]) -> int:
    flows, claims = held["reserve_flows"], held["reserve_claims"]
    return int(flows["sales_minor"].sum() + flows["fees_minor"].sum() + claims["claims_minor"].sum())


def _groupby(contracts: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = ["merchant_id", "currency", "type", "created_at", "amount_minor"]
    moved = pd.read_parquet(path, columns=columns)
    moved["day"] = moved["created_at"].dt.floor("D")
    sums = contracts.groupby(["merchant_id", "currency"])[
        [
            "receivable_minor",
            "merchant_payout_minor",
            "merchant_reserve_minor",
            "partner_margin_minor",
            "customer_payment_minor",
        ]
    ].sum()
    return sums, moved.groupby(["merchant_id", "currency", "day", "type"])[["amount_minor"]].sum()


def _timed(what: str, work: Callable[[], Any]) -> tuple[Any, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _line(f"{what:42} {cpu:8.1f} s CPU {wall:8.1f} s wall   peak so far {peak:6.2f} GiB")
    return result, cpu


def _merchants(count: int) -> pd.DataFrame:
    ids = [f"M{i:06d}" for i in range(count)]
    empty = {c.name: None for c in declared("merchants").columns if c.nullable}
    frame = pd.DataFrame({"merchant_id": ids, "merchant_name": ids}).assign(
        **empty, currency="EUR", risk_level="UNRATED", kyc_status="UNKNOWN", is_blocked=False, **_SOURCE
    )
    return declared("merchants").shaped(frame.assign(onboarding_date=pd.NaT))


def _contracts(count: int, merchants: int) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    number = np.arange(count)
    receivable = rng.integers(1_000_00, 9_000_00, count)
    price = receivable * 3 // 4
    merchant = pd.Series(number % merchants).map("M{:06d}".format)
    frame = pd.DataFrame(
        {
            "contract_id": pd.Series(number).map("C{:08d}".format), "merchant_id": merchant, "merchant_name": merchant,
            "start_date": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, count), unit="D"),
            "term_months": 60, "premium_minor": receivable // 60, "receivable_minor": receivable, "valuation_sum_minor": None,
            "purchase_rate": None, "obligor_id": None, "contra_minor": None, "max_purchase_rate": None, "reserve_rate": 0.1, "customer_payment_minor": receivable // 10,
            "purchase_price_minor": price, "partner_margin_minor": receivable - price, "merchant_reserve_minor": price // 10,
            "merchant_payout_minor": price - price // 10, "currency": "EUR", **_SOURCE,
        }
    )  # fmt: skip
    return declared("contracts").shaped(frame)


def write_transactions(path: Path, count: int, merchants: int) -> None:
    """Sales, fees, refunds and chargebacks over half a year, refunds naming their sale, in parts of a million."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = declared("transactions")
    rng = np.random.default_rng(11)
    kinds = np.array(["SALE", "FEE", "REFUND", "CHARGEBACK"], dtype=object)
    with pq.ParquetWriter(path, table.arrow_schema) as writer:
        for start in range(0, count, 1_000_000):
            size = min(1_000_000, count - start)
            number = np.arange(start, start + size)
            kind = rng.choice(4, size, p=[0.8, 0.1, 0.08, 0.02])
            about = np.where(kind >= 2, number - merchants, number)
            seconds = rng.integers(0, _DAYS * 86_400, size)
            names = pa.array([f"M{m:06d}" for m in number % merchants])
            ids = pa.array([f"T{n}" for n in number])
            columns: dict[str, Any] = {
                "transaction_id": ids, "idempotency_key": ids, "merchant_id": names, "type": pa.array(kinds[kind]),
                "amount_minor": pa.array(np.where(kind == 0, rng.integers(10_00, 200_00, size), rng.integers(1_00, 20_00, size))),
                "created_at": pa.array(np.datetime64("2026-05-03", "us") + seconds.astype("timedelta64[s]")).cast(pa.timestamp("us", tz="UTC")),
                "reference": pa.array([f"T{n}" for n in about]),
            }  # fmt: skip
            usual = {
                "user_id": "U", "currency": "EUR", "destination_currency": "EUR", "source_account": "a", "destination_account": "b",
                "counterparty_id": "P", "settlement_window": "T1", "status": "APPROVED", "source_file": "generated", "source_sheet": "",
            }  # fmt: skip
            columns |= {name: pa.array([value] * size) for name, value in usual.items()}
            columns["source_row"] = pa.array(np.ones(size, dtype=np.int64))
            writer.write_table(
                pa.table({f.name: columns[f.name] for f in table.arrow_schema}, schema=table.arrow_schema)
            )


if __name__ == "__main__":
    main()
