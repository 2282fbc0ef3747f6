"""Expected credit losses and the provision matrix."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.impairment import expect_losses, provide_by_age, stage_losses
from atlas_lib.portfolio.schedules import balance_contracts, plan_schedule
from atlas_lib.portfolio.yields import solve_yields
from tests.portfolio.portfolio_frames import CONTRACT_001, contracts_of, small_contract

PLAN = PortfolioSettings(as_of="2023-11-30", pd_by_risk="LOW 1; HIGH 12; UNRATED 4", lgd_rate=0.5)
NO_ARREARS = declared("arrears").empty()


def losses_of(contracts, arrears=NO_ARREARS, risk=None, plan=PLAN):
    merchants = pd.DataFrame({"merchant_id": list(risk or {}), "risk_level": list((risk or {}).values())}, dtype="str")
    tables = expect_losses(
        contracts,
        merchants,
        plan_schedule(contracts, plan)["schedule"],
        arrears,
        solve_yields(contracts, plan)["yields"],
        plan,
    )
    return declared("expected_losses").checked(tables["expected_losses"])


def past_due(days):
    return pd.DataFrame({"contract_id": list(days), "days_past_due": list(days.values())})


def test_the_provision_matrix_is_that_of_ifrs_9():
    # IFRS 9, illustrative example 12: 15, 7.5, 4, 2.5 and 1 million at .3, 1.6, 3.6, 6.6 and 10.6 %: 580,000 in all.
    ageing = pd.DataFrame(
        {
            "currency": "EUR", "step": range(5), "bucket": list("abcde"), "contract_count": 1,
            "outstanding_minor": [1_500_000_000, 750_000_000, 400_000_000, 250_000_000, 100_000_000],
        }
    )  # fmt: skip
    found = provide_by_age(declared("contract_balances").empty(), ageing, PortfolioSettings())["provisions"]
    assert found["provision_minor"].tolist() == [4_500_000, 12_000_000, 14_400_000, 16_500_000, 10_600_000]
    assert found["provision_minor"].sum() == 58_000_000


def test_without_dated_payments_everything_is_taken_as_not_past_due():
    contracts = contracts_of(CONTRACT_001)
    balances = balance_contracts(contracts, plan_schedule(contracts, PLAN)["schedule"], PLAN)["contract_balances"]
    found = provide_by_age(balances, declared("ageing").empty(), PLAN)["provisions"]
    assert found[["bucket", "outstanding_minor", "provision_minor"]].iloc[0].tolist() == [
        "not past due",
        336_000,
        1_008,
    ]


def test_the_loss_of_one_instalment_in_a_year_is_pd_times_lgd_times_exposure_discounted():
    # 100.00 due in 366 days from 30 November 2023, 4 % PD, 50 % LGD, bought for 80.00: about 24.9 % yield.
    contracts = contracts_of(small_contract(10_000, 1, start_date="2024-10-30"))
    found = losses_of(contracts, plan=PLAN.model_copy(update={"as_of": pd.Timestamp("2023-12-02").date()})).iloc[0]
    rate = found["discount_rate"]
    assert found["loss_lifetime_minor"] == round(10_000 * 0.5 * (1 - 0.96 ** (363 / 365)) / (1 + rate) ** (363 / 365))


def test_a_year_holds_only_the_defaults_of_a_year():
    found = losses_of(contracts_of(CONTRACT_001)).iloc[0]
    assert 0 < found["loss_12m_minor"] < found["loss_lifetime_minor"]
    assert found["loss_12m_minor"] < 336_000 * 0.04 * 0.5
    assert found["expected_loss_minor"] == found["loss_12m_minor"]


def test_days_past_due_decide_the_stage():
    rows = [CONTRACT_001 | {"contract_id": c} for c in "ABCDE"]
    found = losses_of(contracts_of(*rows), past_due({"A": 0, "B": 30, "C": 31, "D": 90, "E": 91}))
    assert found["stage_no"].tolist() == [1, 1, 2, 2, 3]
    assert found["expected_loss_minor"].iloc[2] == found["loss_lifetime_minor"].iloc[2]
    assert found["expected_loss_minor"].iloc[4] == 336_000 // 2
    by_stage = stage_losses(found).set_index("stage_no")
    assert by_stage["contract_count"].to_dict() == {1: 2, 2: 2, 3: 1}
    assert by_stage.loc[3, "coverage_rate"] == 0.5


def test_the_merchant_s_risk_level_sets_the_default_rate():
    rows = [CONTRACT_001 | {"contract_id": m, "merchant_id": m} for m in ("a", "b", "c")]
    found = losses_of(contracts_of(*rows), risk={"a": "LOW", "b": "HIGH"})
    assert found["pd_rate"].tolist() == [0.01, 0.12, 0.04]
    assert found["risk_level"].tolist() == ["LOW", "HIGH", "UNRATED"]


def test_what_is_open_after_the_last_due_date_is_still_at_risk():
    late = contracts_of(small_contract(30_000, 3, start_date="2023-01-10"))
    assert losses_of(late)["expected_loss_minor"].tolist() == [round(30_000 * 0.04 * 0.5)]


@pytest.mark.parametrize("wrong", [{"pd_by_risk": "LOW 1"}, {"pd_by_risk": "x"}, {"provision_rates": "1; 2"}])
def test_rates_that_cannot_be_read_are_refused(wrong):
    plan = PortfolioSettings(as_of="2023-11-30", **wrong)
    contracts = contracts_of(CONTRACT_001)
    with pytest.raises(SettingsError, match="cannot be read"):
        losses_of(contracts, plan=plan)
        provide_by_age(declared("contract_balances").empty(), declared("ageing").empty(), plan)


def test_no_contracts_lose_nothing():
    empty = contracts_of(CONTRACT_001).head(0)
    tables = expect_losses(empty, empty, empty, NO_ARREARS, empty, PLAN)
    assert tables["expected_losses"].empty
    assert provide_by_age(declared("contract_balances").empty(), declared("ageing").empty(), PLAN)["provisions"].empty


@settings(max_examples=12)
@given(st.integers(1, 500_000), st.integers(1, 72), st.integers(0, 400_000), st.integers(0, 200))
def test_no_contract_is_expected_to_lose_more_than_its_exposure(face, term, received, days):
    contracts = contracts_of(small_contract(face, term, customer_payment_minor=received, purchase_price_minor=face))
    found = losses_of(contracts, past_due({"C001": days})).iloc[0]
    assert 0 <= found["loss_12m_minor"] <= found["loss_lifetime_minor"] <= found["outstanding_minor"] * 0.5 + 1
    assert found["outstanding_minor"] == max(face - received, 0)
