"""Matching measured against the planted truth of example_data, with exact floors."""

from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.engine import open_engine
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest import accept_submissions, clean_inputs, read_inputs
from atlas_lib.ledger.store import open_ledger
from atlas_lib.reconciliation import find_breaks, match_transactions
from benchmarks.matching_quality import plant_kinds
from tests.reconciliation.reconciliation_frames import settings

PAIR = ["transaction_id", "statement_id", "line_id"]


@pytest.fixture(scope="module")
def example(root: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = root / "example_data"
    tables = clean_inputs(read_inputs(folder), IngestSettings())
    text = {"transaction_id": str, "statement_id": str, "line_id": str}
    pairs = pd.read_csv(folder / "_truth" / "pairs.csv", dtype=text, keep_default_na=False)
    planted = pd.read_csv(folder / "_truth" / "planted.csv", dtype=str, keep_default_na=False)
    ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('truth') / 'ledger.sqlite'}", "test")
    accepted = accept_submissions(tables["submissions"], open_engine("duckdb"), ledger, 24)
    given = (accepted["transactions"], tables["statement_lines"])
    found = match_transactions(*given, tables["merchants"], tables["counterparties"], tables["fx_rates"], settings())
    passed = {name: frame for name, frame in found.items() if name != "search_limits"}
    broken = find_breaks(*given, tables["statement_balances"], **passed, settings=settings())
    return pairs, planted, found | broken, tables | {"transactions": accepted["transactions"]}


def pairs_of(frame: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(map(tuple, frame[PAIR].to_numpy().tolist()))


def test_no_payment_is_matched_with_a_line_that_is_not_its_own(example):
    pairs, _, found, _ = example
    assert pairs_of(found["matches"]) - pairs_of(pairs) == set()


def test_every_true_pair_is_matched_or_linked_with_its_break(example):
    pairs, _, found, _ = example
    linked = found["links"].query("kind == 'mismatch'")
    assert pairs_of(pairs) - pairs_of(found["matches"]) - pairs_of(linked) == set()
    assert len(found["matches"]) / len(pairs) >= 0.98


def test_processor_payouts_are_taken_whole_with_reserve_and_prior_balance(example):
    pairs, _, found, _ = example
    payouts = found["matches"].query("match_pass == 'payout'")
    assert pairs_of(payouts) == pairs_of(pairs.query("case == 'processor_payout'"))
    parts = found["payout_parts"]
    assert (parts["reserve_minor"].sum() > 0, parts["is_prior"].any()) == (True, True)


def test_every_planted_break_at_the_bank_is_found_under_its_type(example):
    _, planted, found, _ = example
    breaks = found["breaks"]
    where = breaks["statement_id"].fillna("") + "/" + breaks["line_id"].fillna("")
    at_bank = planted[(planted["table"] == "statement_lines") & (planted["expected"] != "MATCHED")]
    by_line = set(zip(where, breaks["break_type"], strict=True))
    assert {(r, e) for r, e in at_bank[["row_id", "expected"]].to_numpy().tolist()} - by_line == set()
    missing = planted.loc[planted["expected"] == "MISSING_AT_BANK", "row_id"]
    assert set(breaks.loc[breaks["break_type"] == "MISSING_AT_BANK", "transaction_id"]) == set(missing)


def test_nothing_else_is_called_a_break(example):
    _, planted, found, _ = example
    expected = planted[planted["table"].isin(["statement_lines", "transactions"])]["expected"].value_counts()
    for break_type, count in found["breaks"]["break_type"].value_counts().items():
        assert count == expected.get(break_type, 0), break_type


def test_two_to_two_corrections_and_payments_entered_twice_are_found_among_everything_else(example):
    pairs, _, found, tables = example
    tables, truth = plant_kinds(tables, pairs, 8)
    given = (tables["transactions"], tables["statement_lines"])
    again = match_transactions(*given, tables["merchants"], tables["counterparties"], tables["fx_rates"], settings())
    kinds = truth[truth["case"] == "kind"]
    assert len(kinds) >= 10 and pairs_of(kinds) - pairs_of(again["matches"]) == set()
    assert pairs_of(again["matches"]) - pairs_of(truth) == set()
    assert {"many_to_many", "split"} <= set(again["matches"]["match_pass"])
    passed = {name: frame for name, frame in again.items() if name != "search_limits"}
    breaks = find_breaks(*given, tables["statement_balances"], **passed, settings=settings())["breaks"]
    twice = given[0].loc[given[0]["transaction_id"].str.endswith("-AGAIN"), "transaction_id"]
    own = breaks[breaks["transaction_id"].isin(twice)]
    assert len(twice) == 8 and set(own["break_type"]) <= {"DUPLICATE"} and len(own) >= 6
    others = set(breaks["break_id"]) - set(own["break_id"])
    assert others == set(found["breaks"]["break_id"])
