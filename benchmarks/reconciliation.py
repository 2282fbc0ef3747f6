"""Matching passes from files to files, against a pandas merge, datacompy and Splink on the same rows in the same run.

    python -m benchmarks reconciliation [rows ...] [--memory-limit 2GB] [--peer-python peers/bin/python]

datacompy and Splink pin other versions than the workbook, so they may live in an environment of their own, whose
interpreter `--peer-python` names (`pip install datacompy splink pandas pyarrow`); a peer that is missing is skipped and says so.
Each side runs in a process of its own, one after the other. The rows are made here: about 96 of 100 payments are booked
under their reference; the others have no reference at the bank, a misspelt one, another amount, a second line, two
parts, or no line at all. The pandas peer joins on the exact reference and then on amount, currency and day, takes what is
alone on both sides and keeps the rest as breaks; it knows no folding, no parts, no rivals, no rates, no scores. datacompy
joins on the exact reference; Splink links by reference, or amount, currency and days, and each row takes its best pair.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_AS_OF = "2026-10-30"
_OURS = """
    SELECT 'T' || lpad(n::VARCHAR, 9, '0') AS transaction_id, 'M' || (h % 400)::VARCHAR AS merchant_id,
           CASE WHEN h % 17 < 15 THEN 'SALE' ELSE 'REFUND' END AS type,
           100 + (h >> 8) % 900000 AS amount_minor, ['EUR', 'USD', 'GBP', 'JPY'][1 + (h >> 5) % 4] AS currency,
           TIMESTAMPTZ '2026-08-02 00:00:00+00' + INTERVAL (((h >> 11) % 6912000)::BIGINT) SECOND AS created_at,
           'AS26-' || lpad(n::VARCHAR, 9, '0') AS reference, 'CP' || (h % 9)::VARCHAR AS counterparty_id, n, (h >> 40) % 1000 AS lot
    FROM (SELECT n, (hash(n) >> 1)::BIGINT AS h FROM range(?) r(n))"""
_LINES = """
    SELECT currency || '-' || strftime(booked, '%Y-%m') AS statement_id, n * 2 + part AS line_id,
           CASE WHEN lot < 12 THEN NULL WHEN lot < 16 THEN replace(reference, '0', 'O') ELSE reference END AS end_to_end_id,
           booked, CASE WHEN lot BETWEEN 20 AND 22 THEN amount_minor - 50 WHEN lot BETWEEN 26 AND 28
                        THEN CASE part WHEN 0 THEN amount_minor // 2 ELSE amount_minor - amount_minor // 2 END
                        ELSE amount_minor END AS amount_posted_minor, currency,
           CASE WHEN type = 'SALE' THEN 'CRDT' ELSE 'DBIT' END AS credit_debit_indicator
    FROM (SELECT *, (created_at::DATE + (1 + n % 3)::INTEGER) AS booked FROM ours) o
    JOIN (VALUES (0), (1)) p(part) ON part = 0 OR lot BETWEEN 23 AND 28
    WHERE lot >= 5"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="reconciliation")
    parser.add_argument("rows", nargs="*", default=["100000", "1000000"])
    parser.add_argument("--memory-limit", default="")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--child", nargs=2)
    chosen = parser.parse_args([a for a in sys.argv[1:] if a != "reconciliation"])
    if chosen.child:
        sys.stdout.write(json.dumps(measured(chosen.child[0], Path(chosen.child[1]))) + "\n")
        return
    per_row: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        for rows in (int(r.replace(",", "")) for r in chosen.rows):
            per_row[rows] = compare(Path(folder), rows, chosen.memory_limit, chosen.peer_python) / rows
    least, most = min(per_row), max(per_row)
    say(f"CPU per row at {most:,} is {per_row[most] / per_row[least]:.2f} x that at {least:,}")


def compare(folder: Path, rows: int, memory_limit: str, peer_python: str) -> float:
    """Print all sides' figures and their ratios; returns our CPU seconds."""
    path = make_files(folder / f"rows_{rows}", rows)
    ours = run_child("ours", path, memory_limit)
    say(f"{rows:>12,}  passes, files to files  {figures(ours)}  {ours['matches']:,} pairs matched")
    for name in ("pandas", "datacompy", "splink"):
        peer = run_child(name, path, "", sys.executable if name == "pandas" else peer_python)
        if "skipped" in peer:
            say(f"{rows:>12,}  {name}: {peer['skipped']}")
            continue
        ratio = f"ours / {name}: CPU {ours['cpu'] / peer['cpu']:.2f}, wall {ours['wall'] / peer['wall']:.2f}, memory {ours['peak'] / peer['peak']:.2f}"
        say(f"{rows:>12,}  {name:<22}  {figures(peer)}  {peer['matches']:,} pairs matched; {ratio}")
    return float(ours["cpu"])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def figures(found: dict[str, Any]) -> str:
    return f"{found['cpu']:7.2f} s CPU {found['wall']:7.2f} s wall {found['peak']:6.2f} GiB"


def make_files(folder: Path, rows: int) -> Path:
    """transactions.parquet and statement_lines.parquet as declared, in parts so that any number of rows fits."""
    import duckdb

    from atlas_lib.core.tables import declared

    folder.mkdir()
    connection = duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(folder / "spill")})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE ours AS {_OURS}", [rows])
    connection.execute(f"CREATE TABLE lines AS {_LINES}")
    ours_usual = {
        "idempotency_key": "transaction_id", "user_id": "'U'", "destination_currency": "currency", "source_account": "'a'",
        "destination_account": "'b'", "settlement_window": "'T1'", "status": "'APPROVED'", "source_row": "n",
    }  # fmt: skip
    bank_usual = {
        "account": "'OUR-' || currency", "transaction_id": "NULL", "booking_date": "booked", "value_date": "booked",
        "fee_charged_minor": "0", "status": "'BOOK'", "remittance_text": "'Payment'", "bank_reference": "line_id::VARCHAR",
        "counterparty_name": "NULL", "line_id": "line_id::VARCHAR", "source_row": "line_id",
    }  # fmt: skip
    for table, source, usual in (("transactions", "ours", ours_usual), ("statement_lines", "lines", bank_usual)):
        own = {str(row[0]) for row in connection.execute(f"DESCRIBE {source}").fetchall()}
        cells = [
            f"CAST({usual.get(c.name, c.name if c.name in own else repr('generated'))} AS {_SQL_TYPE[c.type]}) AS {c.name}"
            for c in declared(table).columns
        ]
        order = "n" if source == "ours" else "line_id"
        target = folder / f"{table}.parquet"
        connection.execute(f"COPY (SELECT {', '.join(cells)} FROM {source} ORDER BY {order}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")  # noqa: S608  # fmt: skip
    connection.close()
    return folder


_SQL_TYPE = {
    "string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "date": "DATE", "instant": "TIMESTAMPTZ",
}  # fmt: skip


def run_child(which: str, path: Path, memory_limit: str, python: str = sys.executable) -> dict[str, Any]:
    environment = dict(os.environ) | ({"ATLAS_MEMORY_LIMIT": memory_limit} if memory_limit else {})
    done = subprocess.run(
        [python, "-m", "benchmarks.reconciliation", "--child", which, str(path)],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    if done.returncode:
        return {"skipped": "ran out of memory" if done.returncode < 0 else done.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(which: str, path: Path) -> dict[str, Any]:
    work = {"ours": ours, "pandas": merge_in_pandas, "datacompy": compare_in_datacompy, "splink": link_in_splink}[which]
    prepared = work(path)
    cpu, wall = time.process_time(), time.perf_counter()
    matches = prepared()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu, "wall": wall, "peak": peak_gib(), "matches": matches}


def peak_gib() -> float:
    """Of this process: what getrusage says begins with the memory of the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = next(row for row in status.read_text(encoding="utf-8").splitlines() if row.startswith("VmHWM"))
    return int(row.split()[1]) / 2**20


def ours(path: Path) -> Any:
    import pyarrow.parquet as pq

    from atlas_lib.core.engine import open_engine
    from atlas_lib.core.settings import ReconciliationSettings
    from atlas_lib.core.tables import declared
    from atlas_lib.reconciliation import match_transactions

    settings, engine = ReconciliationSettings.model_validate({"as_of": _AS_OF}), open_engine("duckdb")
    engine.run([("warm", "SELECT 1 AS one")], {}, ["warm"])
    reference = [declared(name).empty() for name in ("merchants", "counterparties", "fx_rates")]

    def match() -> int:
        found = match_transactions(
            path / "transactions.parquet", path / "statement_lines.parquet", *reference, settings, engine
        )
        return int(pq.read_metadata(found["matches"]).num_rows)

    return match


_OUR_COLUMNS = ["transaction_id", "reference", "amount_minor", "currency", "type", "created_at"]
_BANK_COLUMNS = ["statement_id", "line_id", "end_to_end_id", "amount_posted_minor", "currency", "booking_date"]


def merge_in_pandas(path: Path) -> Any:
    import pandas as pd

    def match() -> int:
        ours = pd.read_parquet(path / "transactions.parquet", columns=_OUR_COLUMNS)
        bank = pd.read_parquet(path / "statement_lines.parquet", columns=_BANK_COLUMNS)
        named = ours.merge(bank, left_on="reference", right_on="end_to_end_id", suffixes=("", "_bank"))
        same = (named["amount_minor"] - named["amount_posted_minor"]).abs().le(2) & named["currency"].eq(
            named["currency_bank"]
        )
        first = named[same].drop_duplicates("transaction_id").drop_duplicates(["statement_id", "line_id"])
        left = ours[~ours["transaction_id"].isin(first["transaction_id"])]
        taken = pd.MultiIndex.from_frame(first[["statement_id", "line_id"]])
        rest = bank[~pd.MultiIndex.from_frame(bank[["statement_id", "line_id"]]).isin(taken)]
        near = left.merge(rest, left_on=["currency", "amount_minor"], right_on=["currency", "amount_posted_minor"])
        lag = (pd.to_datetime(near["booking_date"]) - near["created_at"].dt.tz_localize(None).dt.normalize()).dt.days
        near = near[lag.between(-1, 7)]
        alone = ~near.duplicated("transaction_id", keep=False) & ~near.duplicated(
            ["statement_id", "line_id"], keep=False
        )
        matched = pd.concat([first, near[alone]], ignore_index=True)
        matched[["transaction_id", "statement_id", "line_id"]].to_parquet(path / "pandas.parquet", compression="zstd")
        return len(matched)

    return match


def compare_in_datacompy(path: Path) -> Any:
    import datacompy
    import pandas as pd

    def match() -> int:
        ours = pd.read_parquet(path / "transactions.parquet", columns=_OUR_COLUMNS)
        bank = pd.read_parquet(path / "statement_lines.parquet", columns=_BANK_COLUMNS)
        bank = bank.rename(columns={"end_to_end_id": "reference", "amount_posted_minor": "amount_minor"})
        columns = ["reference", "amount_minor", "currency"]
        compare = getattr(datacompy, "PandasCompare", None) or datacompy.Compare
        found = compare(ours[columns], bank[columns].dropna(), join_columns=["reference"], abs_tol=2)
        return int(found.count_matching_rows())

    return match


def link_in_splink(path: Path) -> Any:
    import duckdb
    from splink import DuckDBAPI, Linker, SettingsCreator
    from splink.comparison_library import ExactMatch

    near = "l.amount_minor = r.amount_minor AND l.currency = r.currency AND r.day - l.day BETWEEN -1 AND 7"
    rules = ["l.reference = r.reference", near]
    settings = SettingsCreator(
        link_type="link_only",
        unique_id_column_name="key",
        blocking_rules_to_generate_predictions=[{"blocking_rule": rule} for rule in rules],
        comparisons=[ExactMatch(name) for name in ("reference", "amount_minor", "currency")],
    )
    ours = f"SELECT transaction_id AS key, reference, amount_minor, currency, created_at::DATE - DATE '1970-01-01' AS day FROM '{path}/transactions.parquet'"  # noqa: S608  # fmt: skip
    bank = f"SELECT statement_id || line_id AS key, end_to_end_id AS reference, amount_posted_minor AS amount_minor, currency, booking_date - DATE '1970-01-01' AS day FROM '{path}/statement_lines.parquet'"  # noqa: S608  # fmt: skip

    def match() -> int:
        api = DuckDBAPI(duckdb.connect())
        sides = [api.register(duckdb.sql(sql).df(), dataset_display_name=name) for sql, name in ((ours, "a_ours"), (bank, "b_bank"))]  # fmt: skip
        linker = Linker(sides, settings)
        linker.training.estimate_probability_two_random_records_match([rules[0]], recall=0.95)
        linker.training.estimate_u_using_random_sampling(max_pairs=1_000_000, seed=1)
        for rule in rules:
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
        found = linker.inference.predict(threshold_match_probability=0.9).as_pandas_dataframe()
        ranked = found.sort_values("match_weight", ascending=False, kind="stable")
        return len(ranked.drop_duplicates("key_l").drop_duplicates("key_r"))

    return match


if __name__ == "__main__":
    main()
