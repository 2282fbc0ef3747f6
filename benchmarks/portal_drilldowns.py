"""One drilldown of the dashboard over a large Final Reconciliation Index: clock and CPU seconds of the whole answer.

    python -m benchmarks.portal_drilldowns [rows] [folder]        default 1000000, a passing folder

A run is written once into the folder (kept there, if one is named): Final Index, transactions, streaming index, breaks and
merchants of that many payments, and a ledger. Each answer is what a browser is sent, made by one thread as the server does;
the first one of its kind (what is read once per run) and the fastest of three later ones, each about another row.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from atlas_lib.core.given_settings import run_settings
from atlas_lib.core.parquet import write_parquet
from atlas_lib.core.provenance import file_sha256
from atlas_lib.core.settings import STAGES
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import open_ledger
from atlas_lib.reconciliation import list_user_rows
from benchmarks.portal_views import habits, write_index

# One payment in a hundred is a break, one in ten thousand an alert.
_TABLES = {
    "final_index": "SELECT * REPLACE ({score} AS fraud_score, 'fast' AS fraud_reasons) FROM {index}",
    "transactions": "SELECT *, transaction_id AS idempotency_key FROM {index}",
    "streaming_index": "SELECT * EXCLUDE (fraud_score, fraud_reasons), {score} AS fraud_score, 'fast' AS fraud_reasons, reconciled_at AS ingested_at FROM {index}",
    "breaks": """SELECT * EXCLUDE (break_type, discrepancy_minor, break_age_days), 'B-' || lower(md5(transaction_id))[1:16] AS break_id, 'AMOUNT_MISMATCH' AS break_type, 'both' AS side,
        'S' AS statement_id, transaction_id AS line_id, 1 AS line_count, 'A' AS account, 'CRDT' AS credit_debit_indicator,
        amount_minor - 100 AS value_minor, -100 AS discrepancy_minor, date AS break_date, 9 AS break_age_days, '8-30' AS age_bucket,
        'low' AS severity, TRUE AS is_open, FALSE AS is_matched, 'The bank booked less than we expected.' AS reason
        FROM {index} WHERE CAST(transaction_id[2:] AS BIGINT) % 100 = 7""",
    "merchants": "SELECT DISTINCT merchant_id, 'Name of ' || merchant_id AS merchant_name, 'DE' AS country FROM {index}",
}  # fmt: skip
_SCORE = "CASE WHEN CAST(transaction_id[2:] AS BIGINT) % 10000 = 77 THEN 0.9 ELSE 0.1 END"


def write_run(folder: Path, rows: int) -> None:
    """The run and its ledger, unless they are there."""
    directory = folder / "drilldowns"
    if (directory / "manifest.json").exists():
        return
    (directory / "tables").mkdir(parents=True, exist_ok=True)
    index = folder / "index.parquet"
    if not index.exists():
        write_index(index, habits(rows)[0])
    tables = {name: _write_table(directory, name, index) for name in _TABLES}
    rows_of_users = declared("user_rows").to_arrow(
        list_user_rows(directory / "tables" / "final_index.parquet")["user_rows"]
    )
    path = write_parquet(directory / "tables" / "user_rows.parquet", rows_of_users.schema, rows_of_users.to_batches())
    tables["user_rows"] = _facts(path)
    settings = {stage: s.model_dump(mode="json") for stage, s in run_settings({"as_of": "2026-10-30"}).items()}
    manifest = {
        "run_id": "drilldowns", "as_of": "2026-10-30", "inputs": [], "settings": settings, "versions": {}, "previous": None,
        "code": {"sha256": "0" * 64, "git_commit": ""}, "tables": tables, "stages": {stage: {} for stage in STAGES},
    }  # fmt: skip
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "latest").write_text("drilldowns", encoding="utf-8")
    with open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}", "benchmark"):
        pass


def _write_table(directory: Path, name: str, index: Path) -> dict[str, Any]:
    """As the run writes it: by key, in groups of a fixed size."""
    import duckdb

    schema, path = declared(name).arrow_schema, directory / "tables" / f"{name}.parquet"
    blank = {"string": "''", "int64": "0", "double": "0.0", "bool": "FALSE"}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    made = connection.sql(_TABLES[name].format(index=f"read_parquet('{index}')", score=_SCORE))
    columns = ", ".join(f.name if f.name in made.columns else f"{'NULL' if f.nullable else blank[str(f.type)]} AS {f.name}" for f in schema)  # fmt: skip
    ordered = made.project(columns).order(", ".join(declared(name).key))
    return _facts(write_parquet(path, schema, ordered.to_arrow_reader(122_880)))


def _facts(path: Path) -> dict[str, Any]:
    stage, rows = declared(path.stem).stage, pq.read_metadata(path).num_rows
    return {"stage": stage, "rows": rows, "control_totals": {}, "sha256": file_sha256(path)}


def drilldowns(rows: int) -> Iterator[tuple[str, list[str]]]:
    """Name and four addresses of each kind."""
    numbers = [rows // 2 // 10_000 * 10_000 + 10_000 * n + 77 for n in range(4)]
    payments = [f"T{n:09d}" for n in numbers]
    yield "transaction", [f"transaction/{t}" for t in payments]
    yield "merchant, its listings", [f"merchant/M{n}" for n in (7, 1, 2, 30)]
    yield "merchant, payments alone", [f"merchant/M{n}?only=final_index" for n in (8, 3, 4, 31)]
    yield "break", [f"page/05_reconciliation?only=breaks&breaks.q=T{n + 30:09d}" for n in numbers]
    yield "alert, with its user and merchant", [f"fraud/{t}" for t in payments]
    yield "fraud console", [f"fraud?score=0.{n}" for n in (85, 8, 75, 7)]
    yield "CSV of one merchant", [f"export/final_index.csv?merchant=M{n}" for n in (50, 51, 52, 53)]
    yield "user", [f"U{n % max(rows // 50, 20)}" for n in numbers]


def measure(folder: Path, rows: int) -> None:
    os.environ |= {"ATLAS_RUNS_DIR": str(folder), "ATLAS_LEDGER_URL": f"sqlite:///{folder / 'ledger.sqlite'}"}
    for name, asked in drilldowns(rows):
        taken = [_answer(one) if set("/?") & set(one) else _history(folder, one) for one in asked]
        (first, first_cpu), (clock, cpu) = taken[0], min(taken[1:])
        line = {"rows": rows, "drilldown": name, "first": first, "first_cpu": first_cpu, "clock": clock, "cpu": cpu}
        sys.stdout.write(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}) + "\n")
        sys.stdout.flush()


def _answer(address: str) -> tuple[float, float]:
    from urllib.parse import parse_qsl

    from atlas_lib.dashboard.requests import Asked, answer
    from atlas_lib.reserves_credit.roles import Actor

    path, _, query = address.partition("?")
    began, cpu = time.perf_counter(), time.process_time()
    given = answer(Asked(path, dict(parse_qsl(query)), Actor("rita", "risk_analyst"), {}))
    assert given.status == 200  # noqa: S101
    list(given.parts)
    return time.perf_counter() - began, time.process_time() - cpu


def _history(folder: Path, user: str) -> tuple[float, float]:
    from atlas_lib.core.run import Run
    from atlas_lib.dashboard.rows import read_newest
    from atlas_lib.reconciliation.views.fraud_console import HISTORY_COLUMNS

    began, cpu = time.perf_counter(), time.process_time()
    found = read_newest(Run(folder / "drilldowns"), "user", user, HISTORY_COLUMNS)
    assert len(found)  # noqa: S101
    return time.perf_counter() - began, time.process_time() - cpu


def main(rows: int, folder: str) -> None:
    with tempfile.TemporaryDirectory() as passing:
        place = Path(folder or passing)
        place.mkdir(parents=True, exist_ok=True)
        write_run(place, rows)
        measure(place, rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2] if len(sys.argv) > 2 else "")
