import pandas as pd
import pyarrow.parquet as pq
import pytest

from atlas_lib.core.errors import TableError
from atlas_lib.core.parquet import write_parquet
from atlas_lib.core.settings import STAGES
from atlas_lib.core.tables import TABLES, declared
from atlas_lib.core.tables.schema import table

UNITS = {"_minor": "minor", "_count": "count", "_rate": "rate", "_bps": "bps"}
SMALL = table(
    "small",
    "01_ingest",
    "id",
    "A table for tests.",
    "id string - key\namount_minor int minor amount\nday date? - day\ncurrency string - code",
)


def row(**changes):
    return pd.DataFrame(
        [{"id": "b", "amount_minor": 1, "day": pd.Timestamp("2026-01-01"), "currency": "EUR"} | changes]
    )


def test_every_table_is_made_by_a_notebook_and_explained():
    for name, item in TABLES.items():
        assert item.stage in STAGES, name
        assert item.about.endswith("."), name
        assert all(c.about for c in item.columns), name


def test_a_unit_in_a_name_is_the_declared_unit():
    wrong = [
        f"{name}.{c.name}" for name, item in TABLES.items() for c in item.columns for suffix, unit in UNITS.items()
        if c.name.endswith(suffix) and c.unit != unit
    ]  # fmt: skip
    assert wrong == []


def test_every_amount_stands_beside_its_currency():
    wrong = [
        n
        for n, t in TABLES.items()
        if any(c.unit == "minor" for c in t.columns) and not any("currency" in c for c in t.column_names)
    ]
    assert wrong == []


def test_the_same_column_has_one_type_everywhere():
    types: dict[str, set[str]] = {}
    for item in TABLES.values():
        for c in item.columns:
            types.setdefault(c.name, set()).add(c.type)
    assert {n: t for n, t in types.items() if len(t) > 1} == {}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_an_empty_table_keeps_its_types_through_parquet(name):
    item = declared(name)
    again = item.from_arrow(item.to_arrow(item.checked(item.empty())))
    assert again.dtypes.astype(str).to_dict() == item.empty().dtypes.astype(str).to_dict()


def test_rows_are_sorted_by_key_and_typed():
    shaped = SMALL.checked(pd.concat([row(), row(id="a", day=pd.NaT)], ignore_index=True))
    assert shaped["id"].tolist() == ["a", "b"]
    again = SMALL.from_arrow(SMALL.to_arrow(shaped))
    pd.testing.assert_frame_equal(again, shaped)


@pytest.mark.parametrize(
    "bad", [pd.concat([row(), row()]), row(amount_minor=None), row(amount_minor=1.5), row().drop(columns="day")]
)
def test_a_broken_declaration_is_refused(bad):
    with pytest.raises(TableError, match="Table small"):
        SMALL.checked(bad)


def test_an_unknown_table_is_not_guessed():
    with pytest.raises(TableError, match="No table is called"):
        declared("receivable")


def test_an_empty_table_that_was_written_can_be_joined(tmp_path):
    empty = declared("liquidity")
    write_parquet(tmp_path / "liquidity.parquet", empty.arrow_schema, [])
    read = empty.from_arrow(pq.read_table(tmp_path / "liquidity.parquet"))
    limits = pd.DataFrame({"limit": [1]}, index=pd.Index(["EUR"], dtype="str", name="currency"))
    assert read.join(limits, on="currency").empty
    assert limits.join(read.set_index("currency")).shape[0] == 1


def test_a_table_of_another_version_says_so_instead_of_naming_a_field():
    payments = declared("contract_payments")
    old = payments.to_arrow(payments.empty()).drop_columns(["move"])
    with pytest.raises(TableError, match=r"another version.*without move.*make the run anew"):
        payments.from_arrow(old)


def test_a_column_that_may_be_empty_and_that_an_earlier_version_did_not_write_is_empty():
    merchants = declared("merchants")
    written = merchants.to_arrow(merchants.empty()).drop_columns(["category"])
    assert merchants.from_arrow(written).columns.tolist() == merchants.column_names
