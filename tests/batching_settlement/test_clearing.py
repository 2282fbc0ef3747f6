from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from atlas_lib.batching_settlement.clearing import clear_obligations, largest_circulation
from atlas_lib.batching_settlement.netting import net_due_items
from atlas_lib.cli import app
from atlas_lib.core.errors import AtlasError
from tests.batching_settlement.planning_frames import books, items_of, transactions


def owed(*rows: tuple[str, str, int], currency: str = "EUR") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["payer", "payee", "amount_minor"])
    return frame.astype({"payer": "str", "payee": "str", "amount_minor": "int64"}).assign(currency=currency)


def net(frame: pd.DataFrame, column: str) -> dict[tuple[str, str], int]:
    out = frame.groupby(["currency", "payer"])[column].sum().rename_axis(["currency", "party"])
    coming = frame.groupby(["currency", "payee"])[column].sum().rename_axis(["currency", "party"])
    return {k: int(v) for k, v in coming.sub(out, fill_value=0).items() if v}


def test_a_cycle_sets_off_its_smallest_debt_and_the_rest_stays() -> None:
    found = clear_obligations(owed(("A", "B", 100), ("B", "C", 90), ("C", "A", 80), ("C", "D", 70)))
    assert found["set_off_minor"].tolist() == [80, 80, 80, 0]


def test_the_larger_of_two_overlapping_cycles_wins() -> None:
    # B pays C 50 in all: the long way round A-B-C-D-A sets off 4 x 50, the short one A-B-C-A 3 x 50.
    rows = [("A", "B", 50), ("B", "C", 50), ("C", "A", 50), ("C", "D", 50), ("D", "A", 50)]
    assert clear_obligations(owed(*rows))["set_off_minor"].tolist() == [50, 50, 0, 50, 50]


def test_debts_of_one_pair_are_set_off_in_their_order_and_a_debt_to_oneself_in_full() -> None:
    found = clear_obligations(owed(("A", "B", 30), ("A", "B", 30), ("B", "A", 40), ("A", "A", 7)))
    assert found["set_off_minor"].tolist() == [30, 10, 40, 7]


def test_currencies_are_never_set_off_against_each_other() -> None:
    both = pd.concat([owed(("A", "B", 5)), owed(("B", "A", 5), currency="USD")], ignore_index=True)
    assert clear_obligations(both)["set_off_minor"].tolist() == [0, 0]


small_networks = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)).filter(lambda e: e[0] != e[1]),
    min_size=1, max_size=6, unique_by=lambda e: e[:2],
)  # fmt: skip


@hypothesis_settings(max_examples=40)
@given(small_networks)
def test_no_other_set_off_is_larger(edges: list[tuple[int, int, int]]) -> None:
    payer, payee, amount = (np.array(side, dtype=np.int64) for side in zip(*edges, strict=True))
    best = 0
    for flow in product(*(range(a + 1) for a in amount.tolist())):
        kept = [
            sum(f for f, (a, b, _) in zip(flow, edges, strict=True) if (a, b)[s] == n) for n in range(4) for s in (0, 1)
        ]
        if kept[::2] == kept[1::2]:
            best = max(best, sum(flow))
    assert int(largest_circulation(payer, payee, amount).sum()) == best


@hypothesis_settings(max_examples=25)
@given(books())
def test_nobodys_net_position_changes_and_nothing_is_set_off_twice(accepted: pd.DataFrame) -> None:
    pairs = net_due_items(items_of(accepted))["obligation_set_off"]
    assert net(pairs, "owed_minor") == net(pairs, "remaining_minor")
    assert net(pairs, "set_off_minor") == {}
    assert ((pairs["set_off_minor"] >= 0) & (pairs["remaining_minor"] >= 0)).all()


def test_nothing_due_sets_off_nothing() -> None:
    assert net_due_items(items_of(transactions()))["obligation_set_off"].empty


def test_sums_beyond_exact_floating_point_are_refused() -> None:
    with pytest.raises(AtlasError, match="too large to be cleared exactly"):
        clear_obligations(owed(("A", "B", 2**52), ("B", "A", 2**52)))


def test_the_evaluation_prints_what_was_set_off(tmp_path) -> None:
    file = tmp_path / "network.csv"
    file.write_text("debtor,creditor,amount\n1,2,100\n2,3,90\n3,1,80\n")
    said = CliRunner().invoke(app, ["evaluate", "clearing", "--data", str(tmp_path)])
    assert "network.csv: 3 obligations of 270; set off 240, remaining 30" in said.output
    file.write_text("a,b\n1,2\n")
    refused = CliRunner().invoke(app, ["evaluate", "clearing", "--data", str(file)])
    assert "Not a file of obligations" in str(refused.exception)
