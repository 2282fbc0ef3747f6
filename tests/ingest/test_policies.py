"""Parameters of policies."""

from __future__ import annotations

import pandas as pd
import pytest

from atlas_lib.core.tables import declared
from atlas_lib.ingest.policies import (
    aml_figures,
    aml_limits,
    blacklist,
    read_parameters,
    regional_limits,
    unreadable,
    without_effect,
)


def policies(*rows: tuple[str, str, bool]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["policy_type", "parameters", "is_active"])
    return frame.assign(policy_id=[f"P{i}" for i in range(len(rows))])


def test_a_key_may_come_again_and_values_may_be_listed():
    assert read_parameters("name=A; alias=B, C; alias=D; nonsense") == {"name": ["A"], "alias": ["B", "C", "D"]}


def test_the_threshold_is_in_minor_units_of_each_currency():
    limits = aml_limits(
        policies(("AML", "threshold=10000; window_days=2; min_count=4; margin_rate=0.2", True)), ["EUR", "JPY"]
    )
    assert limits.drop(columns="policy_id").to_numpy().tolist() == [
        ["EUR", 1_000_000, 800_000, 100_000, 172_800_000_000, 4],
        ["JPY", 10_000, 8_000, 1_000, 172_800_000_000, 4],
    ]


def test_without_any_aml_policy_the_usual_threshold_holds_and_a_switched_off_one_means_off():
    assert aml_limits(policies(), ["EUR"])["threshold_minor"].tolist() == [1_000_000]
    assert aml_limits(policies(("AML", "threshold=10000", False)), ["EUR"]).empty


def test_figures_of_the_account_patterns_are_the_first_stated_ones_within_the_look_back():
    given = policies(
        ("AML", "threshold=5000; fan_count=1; dormant_days=400", True), ("AML", "fan_count=9; cycle_days=2", True)
    )
    figures = aml_figures(given)
    assert [figures[n] for n in ("fan_count", "dormant_days", "cycle_days", "split_count")] == [2, 90, 2, 3]


def test_regional_limits_and_lists_are_rows():
    given = policies(("REGIONAL_LIMIT", "country=AT, CH; limit=4000; currency=EUR", True), ("BLACKLIST", "user_id=U1; name=Orlow", True), ("BLACKLIST", "user_id=U2", False))  # fmt: skip
    assert regional_limits(given, ["EUR"])[["country", "limit_minor"]].to_numpy().tolist() == [
        ["AT", 400_000],
        ["CH", 400_000],
    ]
    assert blacklist(given)[["kind", "key"]].to_numpy().tolist() == [["user", "U1"], ["name", "Orlow"]]


def test_no_policies_give_typed_empty_tables():
    empty = declared("policies").empty()
    assert blacklist(empty).dtypes.astype(str).tolist() == ["str"] * 3
    assert str(regional_limits(empty, [])["limit_minor"].dtype) == "int64"


@pytest.mark.parametrize(
    ("text", "is_bad"),
    [
        ("threshold=10k", True),
        ("limit=-5", True),
        ("threshold=1e20", True),
        ("threshold=10000", False),
        ("name=10k", False),
        ("threshold=10,000", True),
        ("limit=10.000", True),
        ("limit=1000.50; margin_rate=0.100", False),
        ("margin_rate=10", True),
    ],
)
def test_a_figure_that_is_no_number_is_found(text, is_bad):
    assert unreadable(text) is is_bad


def test_a_policy_of_one_currency_goes_before_one_of_all():
    limits = aml_limits(policies(("AML", "", True), ("AML", "threshold=5000; currency=usd", True)), ["EUR", "USD"])
    assert dict(zip(limits["currency"], limits["threshold_minor"], strict=True)) == {"USD": 500_000, "EUR": 1_000_000}


def test_countries_and_currencies_are_read_in_any_case():
    limits = regional_limits(policies(("REGIONAL_LIMIT", "country=at; limit=40; currency=eur", True)), ["EUR"])
    assert limits[["country", "currency", "limit_minor"]].to_numpy().tolist() == [["AT", "EUR", 4000]]


@pytest.mark.parametrize(
    ("policy_type", "text", "is_noted"),
    [
        ("AML", "treshold=10000", True),
        ("AML", "threshold=10000; fan_days=3", False),
        ("REGIONAL_LIMIT", "limit=4000", True),
        ("REGIONAL_LIMIT", "country=AT; limit=4000", False),
        ("BLACKLIST", "iban=AT611904300234573201", True),
        ("BLACKLIST", "", True),
        ("AML", "threshold=10000; currency=EURO", True),
        ("BLACKLIST", "counterparty_id=C1", False),
        ("KYC", "required_status=COMPLETE", False),
        ("KYC", "required_status=PENDING", True),
    ],
)
def test_a_policy_with_parameters_that_do_nothing_is_noted(policy_type, text, is_noted):
    assert without_effect(policy_type, text) is is_noted
