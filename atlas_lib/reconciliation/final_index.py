"""The Final Reconciliation Index: one row per transaction with all that is known of it, stored by day."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas_lib.core.engine import open_engine
from atlas_lib.core.errors import TableError
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared

INDEX_VERSION = 1  # of the stored columns: one more whenever a column is renamed, retyped or taken away
_VERSION_KEY = b"atlas_index_version"
_BY_USER = """
    SELECT user_id, file_row_number AS index_row FROM read_parquet(?, file_row_number=true)
    WHERE user_id <> '' ORDER BY user_id, created_at DESC, index_row"""
NEWEST_ROWS = 25  # of a customer or merchant, for who looks at one

_STEPS = [
    (
        "settled",
        """
        SELECT l.transaction_id, l.batch_id, COALESCE(s.due_date, l.settlement_date) AS due_date,
               COALESCE(s.status, CASE l.status WHEN 'settled' THEN 'Completed' WHEN 'in_flight' THEN 'Pending'
                                                WHEN 'failed' THEN 'Delayed' ELSE 'Deferred' END) AS status
        FROM settlement_results l
        JOIN transactions t ON t.transaction_id = l.transaction_id
        LEFT JOIN settlement_schedule s
               ON s.merchant_id = t.merchant_id AND s.batch_id = l.batch_id AND s.currency = l.currency""",
    ),
    (
        "final_index",
        """
        SELECT t.transaction_id, t.merchant_id, COALESCE(m.merchant_name, '') AS merchant_name, t.user_id, t.type, t.amount_minor, t.currency, t.status, t.created_at,
               COALESCE(i.fraud_score, 0.0) AS fraud_score, COALESCE(i.fraud_reasons, '') AS fraud_reasons,
               COALESCE(i.policy_flags, '') AS policy_flags,
               CASE WHEN i.fraud_score >= :risk_high OR i.policy_flags LIKE '%SANCTIONS_MATCH%'
                         OR i.policy_flags LIKE '%BLACKLISTED%' THEN 'HIGH'
                    WHEN i.fraud_score >= :risk_medium OR i.policy_flags <> '' OR m.risk_level = 'HIGH' THEN 'MEDIUM'
                    ELSE 'LOW' END AS risk_label,
               COALESCE(r.reconciled_status, 'NOT_EXPECTED') AS reconciled_status, r.match_pass, r.match_score,
               r.amount_posted_minor, COALESCE(r.fee_minor, 0) AS fee_minor,
               COALESCE(r.discrepancy_minor, 0) AS discrepancy_minor, r.break_type, r.break_age_days,
               s.batch_id, s.due_date AS payout_due_date,
               COALESCE(s.status, CASE WHEN d.transaction_id IS NULL THEN 'Not settled' ELSE 'Deferred' END)
                   AS settlement_status,
               t.source_file, t.source_sheet, t.source_row, CAST(t.created_at AS DATE) AS date
        FROM transactions t
        LEFT JOIN streaming_index i ON i.transaction_id = t.transaction_id
        LEFT JOIN merchants m ON m.merchant_id = t.merchant_id
        LEFT JOIN batch_index r ON r.transaction_id = t.transaction_id
        LEFT JOIN settled s ON s.transaction_id = t.transaction_id
        LEFT JOIN (SELECT DISTINCT transaction_id FROM deferrals) d ON d.transaction_id = t.transaction_id""",
    ),
]


def build_final_index(
    transactions: pd.DataFrame,
    merchants: pd.DataFrame,
    streaming_index: pd.DataFrame,
    batch_index: pd.DataFrame,
    settlement_results: pd.DataFrame,
    deferrals: pd.DataFrame,
    settlement_schedule: pd.DataFrame,
    settings: ReconciliationSettings,
) -> dict[str, pd.DataFrame]:
    """final_index: every transaction once, with screening, reconciliation, settlement and its source cell.

    Settlement comes from settlement_results (transaction_id), which holds earlier runs' batches too.
    risk_label is HIGH from `risk_high_rate` on or with a sanctions or blacklist flag, MEDIUM from
    `risk_medium_rate` on, with any other flag, or for a merchant of risk level HIGH.
    """
    if transactions.empty:
        return {"final_index": declared("final_index").empty()}
    inputs = {
        "transactions": transactions,
        "merchants": merchants,
        "streaming_index": streaming_index,
        "batch_index": batch_index,
        "settlement_results": settlement_results,
        "deferrals": deferrals,
        "settlement_schedule": settlement_schedule,
    }
    parameters = {"risk_high": settings.risk_high_rate, "risk_medium": settings.risk_medium_rate}
    index = open_engine(settings.engine).run(_STEPS, inputs, ["final_index"], parameters)["final_index"]
    day_end = pd.Timestamp(settings.as_of, tz="UTC") + pd.Timedelta(days=1) - pd.Timedelta(seconds=1)
    return {"final_index": declared("final_index").shaped(index.assign(reconciled_at=day_end))}


def stored_schema() -> pa.Schema:
    """The schema of the stored files: the declaration without `date`, which is the folder's name, and its version."""
    schema = declared("final_index").arrow_schema
    return schema.remove(schema.get_field_index("date")).with_metadata({_VERSION_KEY: str(INDEX_VERSION).encode()})


def read_index(directory: Path) -> pd.DataFrame:
    """final_index as it is stored, all days; TableError for a file of another version."""
    import pyarrow.dataset as ds

    day = pa.schema([("date", pa.date32())])
    stored = ds.dataset(directory, format="parquet", partitioning=ds.partitioning(day, flavor="hive"))
    for fragment in stored.get_fragments():
        _check_version(Path(fragment.path), fragment.physical_schema)
    table = declared("final_index")
    return table.shaped(table.from_arrow(stored.to_table())) if stored.files else table.empty()


def _check_version(file: Path, schema: pa.Schema) -> None:
    found = (schema.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if found != str(INDEX_VERSION):
        raise TableError(
            "The Final Reconciliation Index is stored in another version", where=f"{file.parent.name}/{file.name}",
            expected=f"version {INDEX_VERSION}", found=f"version {found}",
            remedy="run 05_reconciliation again with this release, or read it with the release that wrote it",
        )  # fmt: skip


def list_user_rows(final_index: Path) -> dict[str, pd.DataFrame]:
    """user_rows: per customer the rows of the table `final_index` (its Parquet file) with the newest payments.

    A customer's payments lie all over a table that is in the order of transaction_id; who looks at one customer reads
    these rows alone.
    """
    import duckdb

    with duckdb.connect() as connection:
        found = connection.sql(_BY_USER, params=[str(final_index)]).to_arrow_table()
    users = found["user_id"].combine_chunks()
    if not len(users):
        return {"user_rows": declared("user_rows").empty()}
    starts = np.flatnonzero(np.r_[True, pc.not_equal(users[1:], users[:-1]).to_numpy(zero_copy_only=False)])
    place = np.arange(len(users)) - np.repeat(starts, np.diff(np.r_[starts, len(users)])) + 1
    newest = found.append_column("place", pa.array(place)).filter(pa.array(place <= NEWEST_ROWS))
    table = declared("user_rows")
    return {"user_rows": table.shaped(table.from_arrow(newest.select(table.column_names)))}


def write_index(final_index: pd.DataFrame, directory: Path) -> pd.DataFrame:
    """Write `date=YYYY-MM-DD/index.parquet` per day; returns date and row_count of the days.

    A day is written under another name and then put in place of the old one, so that a reader never sees
    half a day, nor rows of an earlier run. The same rows give the same bytes, and are then left as they lie.
    Every file says in its metadata (`atlas_index_version`) in which version of the columns it is written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    days = final_index.sort_values(["date", "transaction_id"], kind="stable").groupby("date", sort=True)
    for day, rows in days:
        _replace_day(directory, f"{pd.Timestamp(str(day)):%Y-%m-%d}", rows)
    return days.size().rename("row_count").reset_index()


def _replace_day(directory: Path, day: str, rows: pd.DataFrame) -> None:
    schema = stored_schema()
    table = pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
    table = table.replace_schema_metadata(schema.metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    partial, target = directory / f".partial-{day}", directory / f"date={day}"
    if target.is_dir() and [f.read_bytes() for f in target.iterdir()] == [content]:
        return
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    (partial / "index.parquet").write_bytes(content)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
