import pandas as pd
import pyarrow.parquet as pq
import pytest

from atlas_lib.core.engine import open_engine
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import match_transactions
from tests.reconciliation.reconciliation_frames import frame_of, line, match, payment, settings

OURS = [payment(f"T{n}", 1_000 + n, "2026-10-05", reference=f"REF-{n}") for n in range(4)]
BANK = [line(str(n), 1_000 + n, "2026-10-06", end_to_end_id=f"REF{n}") for n in range(4)]


def pairs(found):
    return found["matches"][["transaction_id", "line_id"]].to_numpy().tolist()


def test_files_give_files_with_the_rows_that_frames_give(tmp_path):
    sides = {"transactions": frame_of("transactions", OURS), "statement_lines": frame_of("statement_lines", BANK)}
    for name, frame in sides.items():
        pq.write_table(declared(name).to_arrow(frame), tmp_path / f"{name}.parquet")
    empty = [declared(n).empty() for n in ("merchants", "counterparties", "fx_rates")]
    engine = open_engine("duckdb")
    files = match_transactions(*(tmp_path / f"{n}.parquet" for n in sides), *empty, settings(), engine)
    for name, frame in match(*sides.values()).items():
        table = declared(name)
        assert pq.read_schema(files[name]).equals(table.arrow_schema)
        pd.testing.assert_frame_equal(table.shaped(table.from_arrow(pq.read_table(files[name]))), frame)


@pytest.mark.parametrize("quoted", ["T1", "REF-1"])
def test_a_line_that_names_a_payment_in_both_fields_is_one_pair(quoted):
    bank = [line("1", 1_001, "2026-10-06", end_to_end_id="REF1", transaction_id=quoted)]
    assert pairs(match(frame_of("transactions", OURS), frame_of("statement_lines", bank))) == [["T1", "1"]]


def test_a_line_whose_two_fields_name_different_payments_is_ranked_and_used_once():
    ours = [
        payment("T1", 1_000, "2026-10-05", reference="REF-1"),
        payment("T2", 1_000, "2026-10-05", reference="REF-2"),
    ]
    bank = [line("1", 1_000, "2026-10-06", end_to_end_id="REF1", transaction_id="T2")]
    assert pairs(match(frame_of("transactions", ours), frame_of("statement_lines", bank))) == [["T2", "1"]]


def test_a_line_that_only_mentions_a_payment_does_not_take_it_from_the_line_that_names_it():
    ours = [payment("T1", 1_001, "2026-10-05", reference="REF-00001")]
    bank = [
        line("1", 1_001, "2026-10-09", end_to_end_id="REF00001"),
        line("2", 1_001, "2026-10-05", remittance_text="again REF-00001"),
    ]
    found = match(frame_of("transactions", ours), frame_of("statement_lines", bank))
    assert pairs(found) == [["T1", "1"]]
    assert found["links"][["line_id", "kind"]].to_numpy().tolist() == [["2", "further"]]
