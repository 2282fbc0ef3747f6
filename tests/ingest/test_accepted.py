"""Accepted rows of a file: the same whether they are sorted as one part or as several."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from atlas_lib.core import parquet
from atlas_lib.core.engine import open_engine
from atlas_lib.core.parquet import write_parquet
from atlas_lib.core.tables import declared
from atlas_lib.ingest import accepted
from atlas_lib.ingest.intake import accept_submissions
from atlas_lib.ledger.store import open_ledger

ROWS = 400
SOURCE = ["source_file", "source_sheet", "source_row"]


def submissions() -> pd.DataFrame:
    """Ids in no order and of every length, each third row with the key of the one before; two files of one numbering."""
    number = np.arange(ROWS)
    mixed = pd.Series(np.random.default_rng(5).permutation(ROWS), dtype="int64").astype("str")
    first = np.where(number % 3 == 2, number - 1, number)
    return declared("submissions").shaped(
        pd.DataFrame(
            {
                "transaction_id": np.where(number % 5, "T-", "Ü") + mixed, "idempotency_key": [f"K{i}" for i in first],
                "fingerprint": [f"f{i}" for i in first], "merchant_id": [f"M{i % 4}" for i in number], "user_id": mixed,
                "type": "SALE", "amount_minor": 100 + number, "currency": "EUR", "destination_currency": "EUR",
                "source_account": "A", "destination_account": "B", "counterparty_id": "", "settlement_window": "T1",
                "status": "APPROVED", "created_at": pd.Timestamp("2026-10-01", tz="UTC") + pd.to_timedelta(number, "min"),
                "reference": np.where(number % 7, mixed, None),
                "source_file": np.where(number < ROWS // 2, "monday.parquet", "tuesday.parquet"), "source_sheet": "",
                "source_row": number % (ROWS // 2) + 1,
            }
        )
    )  # fmt: skip


def accept(rows: pd.DataFrame, folder) -> dict:
    table, own = declared("submissions"), open_engine("duckdb")
    path = write_parquet(folder / "submissions.parquet", table.arrow_schema, table.to_arrow(rows).to_batches())
    with open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}", "test") as ledger:
        made = accept_submissions(path, own, ledger, 24)
    found = pq.read_table(made["transactions"])
    assert found.schema.equals(declared("transactions").arrow_schema)
    return made | {"transactions": declared("transactions").from_arrow(found)}


@pytest.mark.parametrize(("largest", "parts"), [(2**28, 1), (3_000, 3)])
def test_each_row_is_accepted_or_held_and_the_accepted_lie_in_the_order_of_their_ids(
    largest, parts, tmp_path, monkeypatch
):
    monkeypatch.setattr(accepted, "_PART_BYTES", largest)
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 64)
    given = submissions()
    made = accept(given, tmp_path)
    rows_of_a_part = accepted._part_rows(pq.read_metadata(tmp_path / "submissions.parquet"))
    assert min(-(-ROWS // rows_of_a_part), 3) == parts
    table, held = made["transactions"], made["intake_results"]
    assert len(held) == ROWS // 3 and held["status"].eq("duplicate").all()
    assert table["transaction_id"].tolist() == sorted(table["transaction_id"])
    places = [tuple(row) for rows in (table, held) for row in rows[SOURCE].to_numpy()]
    assert sorted(places) == sorted(tuple(row) for row in given[SOURCE].to_numpy())
    kept = given.merge(table[SOURCE], on=SOURCE, validate="1:1").sort_values("transaction_id", ignore_index=True)
    pd.testing.assert_frame_equal(table, kept[table.columns])


@pytest.mark.parametrize("largest", [2**28, 0])
def test_a_file_without_rows_gives_one(largest, tmp_path, monkeypatch):
    monkeypatch.setattr(accepted, "_PART_BYTES", largest)
    assert accept(submissions().iloc[:0], tmp_path)["transactions"].empty


def test_one_id_sent_in_every_row_is_accepted_once(tmp_path):
    rows = submissions().assign(transaction_id="T1")
    made = accept(rows, tmp_path)
    assert made["transactions"]["transaction_id"].tolist() == ["T1"] and len(made["intake_results"]) == ROWS - 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_file_of_few_rows_which_has_no_codes_is_accepted(count, tmp_path):
    rows = (
        submissions()
        .iloc[:count]
        .assign(currency=["EUR", "USD", "GBP"][:count], idempotency_key=[f"K{n}" for n in range(count)])
    )
    assert len(accept(rows, tmp_path)["transactions"]) == count
