"""The tail of the simulated loss."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio import losses as losses_module
from atlas_lib.portfolio.losses import conditional_default, draw_losses, measure_tail, simulate_losses

PLAN = PortfolioSettings(loss_draw_count=20_000)


def book_of(count, pd_rate=0.02, exposure=10_000, merchant_count=4, stage=1):
    return pd.DataFrame(
        {
            "contract_id": [f"C{i:05d}" for i in range(count)], "merchant_id": [f"M{i % merchant_count}" for i in range(count)],
            "currency": "EUR", "stage_no": stage, "outstanding_minor": exposure, "pd_rate": pd_rate, "lgd_rate": 0.5,
        }
    )  # fmt: skip


def plan(**values):
    return PLAN.model_copy(update=values)


def test_the_boundary_counts_in_part():
    # Rockafellar and Uryasev (2002), section 2: losses 1 to 100; at 97.5 % the worst two and half of the third.
    assert measure_tail(range(1, 101), 0.95) == (95, pytest.approx(98.0))
    assert measure_tail(range(1, 101), 0.975) == (98, pytest.approx(99.2))
    assert measure_tail([5.0], 0.99) == (5, 5)


@pytest.mark.parametrize(("level", "expected"), [(0.95, 2.0627), (0.975, 2.3378), (0.99, 2.6652)])
def test_the_tail_of_a_normal_loss(level, expected):
    # density(quantile) / (1 - level), the closed form for a standard normal loss.
    losses = norm.ppf((np.arange(400_000) + 0.5) / 400_000)
    assert measure_tail(losses, level)[1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("pd_rate", "weight"), [(0.01, 92.32), (0.0003, 14.44)])
def test_the_stressed_default_rate_is_that_of_basel(pd_rate, weight):
    # Basel II (2006), paragraph 272 and Annex 5: corporate risk weights at LGD 45 % and 2.5 years,
    # without the scaling factor of 1.06.
    share = (1 - exp(-50 * pd_rate)) / (1 - exp(-50))
    correlation = 0.12 * share + 0.24 * (1 - share)
    stressed = conditional_default(pd_rate, sqrt(correlation) * norm.ppf(0.001), correlation)
    b = (0.11852 - 0.05478 * log(pd_rate)) ** 2
    capital = 0.45 * (stressed - pd_rate) / (1 - 1.5 * b)
    assert 100 * 12.5 * capital == pytest.approx(weight, abs=0.01)


def test_the_same_seed_gives_the_same_losses_and_another_seed_others():
    book = book_of(50)
    np.testing.assert_array_equal(draw_losses(book, PLAN), draw_losses(book, PLAN))
    assert (draw_losses(book, PLAN) != draw_losses(book, plan(loss_seed=8))).any()


def test_the_mean_is_pd_times_lgd_times_exposure_whatever_the_correlation():
    for correlation in (0.0, 0.3):
        losses = draw_losses(book_of(100), plan(default_correlation=correlation))
        assert losses.mean() == pytest.approx(100 * 10_000 * 0.02 * 0.5, rel=0.05)


def test_correlation_moves_the_tail_and_not_the_mean():
    apart, together = (
        simulate_losses(book_of(200), plan(default_correlation=c, merchant_correlation=m))["loss_measures"]
        for c, m in ((0.0, 0.0), (0.2, 0.1))
    )
    assert (together["cvar_minor"] > 1.5 * apart["cvar_minor"]).all()
    assert together["mean_loss_minor"].iloc[0] == pytest.approx(apart["mean_loss_minor"].iloc[0], rel=0.1)


def test_independent_defaults_are_binomial():
    # 100 contracts at 2 %: the binomial's 95 % and 99 % quantiles are 5 and 6 defaults of 50.00 each.
    found = simulate_losses(book_of(100), plan(default_correlation=0.0, merchant_correlation=0.0))["loss_measures"]
    assert found["value_at_risk_minor"].tolist() == [5 * 5_000, 5 * 5_000, 6 * 5_000]


def test_small_contracts_taken_together_lose_what_they_lose_one_by_one(monkeypatch):
    book = book_of(600, pd_rate=np.where(np.arange(600) % 2, 0.01, 0.05), merchant_count=5)
    single = simulate_losses(book, PLAN)["loss_measures"]
    monkeypatch.setattr(losses_module, "_SINGLE_COUNT", 20)
    grouped = simulate_losses(book, PLAN)["loss_measures"]
    assert grouped["cvar_minor"].tolist() == pytest.approx(single["cvar_minor"].tolist(), rel=0.05)
    assert grouped["mean_loss_minor"].iloc[0] == pytest.approx(single["mean_loss_minor"].iloc[0], rel=0.03)


def test_what_is_in_default_already_is_lost_in_every_draw():
    assert set(draw_losses(book_of(3, stage=3), PLAN)) == {15_000.0}


def test_every_draw_stands_in_one_bar_and_every_currency_by_itself():
    book = pd.concat([book_of(30), book_of(20).assign(currency="USD", contract_id=[f"U{i}" for i in range(20)])])
    tables = {n: declared(n).checked(f) for n, f in simulate_losses(book, PLAN).items()}
    assert tables["loss_distribution"].groupby("currency")["draw_count"].sum().to_dict() == {
        "EUR": 20_000,
        "USD": 20_000,
    }
    assert tables["loss_measures"]["currency"].tolist() == ["EUR"] * 3 + ["USD"] * 3
    assert tables["loss_distribution"].groupby("currency")["share_rate"].sum().tolist() == pytest.approx([1, 1])


def test_an_empty_book_has_no_distribution():
    assert all(frame.empty for frame in simulate_losses(book_of(0), PLAN).values())


def test_correlations_that_leave_nothing_over_are_refused():
    with pytest.raises(SettingsError, match="own fate"):
        simulate_losses(book_of(1), plan(default_correlation=0.6, merchant_correlation=0.4))
