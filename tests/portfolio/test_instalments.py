"""Instalments against published values and a plain Decimal calculation."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.errors import AtlasError
from atlas_lib.portfolio import loans as loans_module
from atlas_lib.portfolio import repayment
from atlas_lib.portfolio.instalments import plan_instalments, unrounded_interest
from atlas_lib.portfolio.loans import MONTHLY, YearFractions

TYPES = ["linear", "annuity", "interest_only", "bullet", "balloon"]
ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}
CENT = Decimal(1)


def paid(plan):
    return (plan.principal_minor + plan.interest_minor).tolist()


def annuity_of_100(annual_rate, fractions=MONTHLY):
    """100.00 over six periods, the loan that Apache Fineract's tests use."""
    return plan_instalments([10_000], [6], annual_rate, "annuity", fractions=fractions)


def test_annuity_to_the_cent_as_fineract_plans_it():
    # Apache Fineract, ProgressiveEMICalculatorTest: 100.00 at 9.4822 %, 30/360.
    plan = annuity_of_100(0.094822)
    assert paid(plan) == [1713] * 6
    assert plan.interest_minor.tolist() == [79, 66, 53, 40, 27, 13]


def test_annuity_counts_actual_days_over_365():
    # Apache Fineract: 100.00 at 15.678 %, actual/365, from 1 January 2024.
    plan = annuity_of_100(0.15678, YearFractions(np.array([31, 29, 31, 30, 31, 30]), 365))
    assert paid(plan) == [1743] * 5 + [1747]


def test_last_instalment_takes_the_residue():
    # Apache Fineract, Loan.feature: 100.00 at 7 %, total interest 2.05.
    plan = annuity_of_100(0.07)
    assert paid(plan) == [1701] * 5 + [1700]
    assert plan.interest_minor.sum() == 205


def test_interest_up_to_an_early_pay_off():
    # Apache Fineract, Loan.feature: the same loan paid off on 15 February, 14 of 29 days after 83.57 were left.
    plan = plan_instalments([8_357], [1], 0.07, fractions=YearFractions(np.array([14]), 12 * 29))
    assert plan.interest_minor.tolist() == [24]


def test_irregular_first_period():
    # Apache Fineract: 192.22 at 9.99 %, paid out on 15 January, so 17 of 31 days in the first month.
    length = YearFractions(np.array([17, 31, 31, 31, 31, 31]), 12 * 31)
    plan = plan_instalments([19_222], [6], 0.0999, "annuity", fractions=length)
    assert paid(plan) == [3285] * 5 + [3287]
    assert plan.interest_minor[0] == 88


@pytest.mark.parametrize(("days", "year", "expected"), [(7, 364, [1677] * 5 + [1678]), (15, 360, [1690] * 5 + [1689])])
def test_weekly_and_fortnightly_periods(days, year, expected):
    # Apache Fineract: 100.00 at 9.4822 % in six periods of 7 / 364 and of 15 / 360.
    assert paid(annuity_of_100(0.094822, YearFractions(days, year))) == expected


@pytest.mark.parametrize("kind", ["linear", "annuity"])
def test_rate_zero_splits_the_principal(kind):
    # Apache Fineract: 1,000.00 in four instalments without interest.
    assert paid(plan_instalments([100_000], [4], 0.0, kind)) == [25_000] * 4


def test_linear_interest_is_taken_on_the_opening_balance():
    # 7 % over 60 linear periods on 286,357.00: P r (n + 1) / 2. On the closing balance it would be 49,277.27.
    assert round(unrounded_interest(28_635_700, 60, 0.07)) == 5_094_768
    plan = plan_instalments([28_635_700], [60], 0.07, "linear")
    assert abs(int(plan.interest_minor.sum()) - 5_094_768) <= 30
    closing = plan.outstanding_minor.sum() * 0.07 / 12
    assert round(closing) == pytest.approx(4_927_727, abs=30)


def test_amounts_beyond_64_bit_products_stay_exact():
    plan = plan_instalments([10**17], [4], 0.0701, "annuity")
    assert plan.principal_minor.sum() == 10**17
    assert plan.interest_minor[0] == round(10**17 * 701 / 120_000)


def test_a_small_debt_is_never_overpaid():
    plan = plan_instalments([31], [60], 0.07, "linear")
    assert plan.principal_minor.tolist() == [1] * 31 + [0] * 29


def test_interest_only_and_bullet_repay_at_the_end():
    assert paid(plan_instalments([10_000], [3], 0.12, "interest_only")) == [100, 100, 10_100]
    assert paid(plan_instalments([10_000], [3], 0.12, "bullet")) == [0, 0, 10_300]


def test_balloon_leaves_its_share_to_the_last_instalment():
    plan = plan_instalments([10_000], [5], 0.07, "balloon", balloon_rate=0.3)
    assert paid(plan) == [1442] * 4 + [4442]


def test_balloon_of_nothing_is_an_annuity():
    loans = ([123_456, 99_999], [36, 7], 0.0725)
    np.testing.assert_array_equal(
        plan_instalments(*loans, "balloon").interest_minor, plan_instalments(*loans, "annuity").interest_minor
    )


def test_no_loans_give_no_instalments():
    assert plan_instalments([], [], 0.07, "annuity").principal_minor.tolist() == []


@pytest.mark.parametrize(("principal", "term", "rate"), [(-1, 12, 0.07), (100, 0, 0.07), (100, 12, -0.01)])
def test_a_loan_that_cannot_be_planned_is_refused(principal, term, rate):
    with pytest.raises(AtlasError, match="cannot be planned"):
        plan_instalments([principal], [term], rate)


loans = st.lists(
    st.tuples(st.integers(0, 20_000_000), st.integers(1, 90), st.integers(0, 300_000)), min_size=1, max_size=12
)


@given(loans, st.sampled_from(TYPES), st.sampled_from(sorted(ROUNDINGS)))
def test_every_type_repays_exactly_the_face_value(book, kind, rounding):
    principal, term, millionths = (list(column) for column in zip(*book, strict=True))
    rates = np.array(millionths) / 1e6
    plan = plan_instalments(principal, term, rates, kind, balloon_rate=0.25, rounding=rounding)
    last = np.cumsum(term) - 1
    assert np.add.reduceat(plan.principal_minor, last + 1 - term).tolist() == principal
    assert (plan.outstanding_minor >= 0).all()
    assert (plan.interest_minor >= 0).all()
    assert plan.outstanding_minor[last].tolist() == [0] * len(book)


@given(loans, st.sampled_from(TYPES), st.sampled_from(sorted(ROUNDINGS)))
def test_vectorised_equals_a_plain_decimal_calculation(book, kind, rounding):
    principal, term, millionths = (list(column) for column in zip(*book, strict=True))
    plan = plan_instalments(principal, term, np.array(millionths) / 1e6, kind, balloon_rate=0.25, rounding=rounding)
    expected = [line for p, n, m in book for line in plain_plan(p, n, Decimal(m) / 1_000_000, kind, rounding)]
    assert list(zip(plan.principal_minor.tolist(), plan.interest_minor.tolist(), strict=True)) == expected


@given(loans, st.sampled_from(TYPES))
def test_a_block_boundary_changes_nothing(book, kind):
    principal, term, millionths = (list(column) for column in zip(*book, strict=True))
    rates = np.array(millionths) / 1e6
    whole = plan_instalments(principal, term, rates, kind, balloon_rate=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loans_module, "_BLOCK_CELLS", 50)
        blocks = plan_instalments(principal, term, rates, kind, balloon_rate=0.1)
    np.testing.assert_array_equal(whole.interest_minor, blocks.interest_minor)
    np.testing.assert_array_equal(whole.principal_minor, blocks.principal_minor)


@given(loans, st.sampled_from(["linear", "annuity", "balloon"]), st.sampled_from(sorted(ROUNDINGS)))
def test_floats_and_whole_numbers_give_the_same_cents(book, kind, rounding):
    principal, term, millionths = (list(column) for column in zip(*book, strict=True))
    rates = np.array(millionths) / 1e6
    floats = plan_instalments(principal, term, rates, kind, balloon_rate=0.1, rounding=rounding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repayment, "_LARGEST_PRODUCT", 0)
        whole = plan_instalments(principal, term, rates, kind, balloon_rate=0.1, rounding=rounding)
    np.testing.assert_array_equal(floats.interest_minor, whole.interest_minor)
    np.testing.assert_array_equal(floats.principal_minor, whole.principal_minor)


@pytest.mark.parametrize("rounding", sorted(ROUNDINGS))
def test_interest_keeps_its_half_cents_up_to_the_largest_product_of_floats(rounding):
    # 1 / 1,200 a month at 1 %: principals of 600 (2 k + 1) end in exactly half a unit, just below and above the limit.
    limit = repayment._LARGEST_PRODUCT
    halves = [600 * (2 * k + 1) for k in (limit // 1_200 - 3, limit // 1_200 - 2, limit // 1_200 + 5)]
    for principal in [p + step for p in halves for step in (-1, 0, 1)]:
        expected = (Decimal(principal) / 1_200).quantize(CENT, ROUNDINGS[rounding])
        assert plan_instalments([principal], [1], 0.01, rounding=rounding).interest_minor.tolist() == [int(expected)]


@given(st.integers(0, 10**12), st.integers(1, 120), st.integers(0, 300_000), st.sampled_from(["linear", "bullet"]))
def test_rounded_interest_stays_near_the_unrounded_total(principal, term, millionths, kind):
    rate = millionths / 1e6
    total = int(plan_instalments([principal], [term], rate, kind).interest_minor.sum())
    allowed = term / 2 + term * term * rate / 48 + 1
    assert abs(total - unrounded_interest(principal, term, rate, kind)) <= allowed


def plain_plan(principal, term, rate, kind, rounding):
    """One loan, one period after the other, as a clerk would: [(principal, interest), ...]."""
    with localcontext(prec=120):
        monthly, balloon = rate / 12, Decimal(0)
        if kind == "linear":
            level = None
        elif kind in ("interest_only", "bullet"):
            return plain_repaid_at_end(principal, term, monthly, kind, rounding)
        else:
            balloon = (Decimal(principal) / 4).quantize(CENT, ROUNDINGS[rounding]) if kind == "balloon" else balloon
            growth, factor = Decimal(1), Decimal(0)
            for _ in range(term):
                growth, factor = growth * (1 + monthly), 1 + factor * (1 + monthly)
            level = ((principal * growth - balloon) / factor).quantize(CENT, ROUNDINGS[rounding])
        lines = plain_walk(principal, term, monthly, level, rounding)
        off = 0 if level is None else sum(lines[-1]) - balloon - level
        if abs(off) > term // 2:
            moved = level + (off / term).quantize(CENT, ROUND_HALF_EVEN)
            other = plain_walk(principal, term, monthly, moved, rounding)
            lines = other if abs(sum(other[-1]) - balloon - moved) < abs(off) else lines
        return [(int(p), int(i)) for p, i in lines]


def plain_walk(principal, term, monthly, level, rounding):
    share, balance, lines = (Decimal(principal) / term).quantize(CENT, ROUNDINGS[rounding]), Decimal(principal), []
    for period in range(1, term + 1):
        interest = (balance * monthly).quantize(CENT, ROUNDINGS[rounding])
        repaid = min(share if level is None else max(level - interest, Decimal(0)), balance)
        repaid = balance if period == term else repaid
        balance -= repaid
        lines.append((repaid, interest))
    return lines


def plain_repaid_at_end(principal, term, monthly, kind, rounding):
    each = int((principal * monthly).quantize(CENT, ROUNDINGS[rounding]))
    whole = int((principal * monthly * term).quantize(CENT, ROUNDINGS[rounding]))
    if kind == "bullet":
        return [(0, 0)] * (term - 1) + [(principal, whole)]
    return [(0, each)] * (term - 1) + [(principal, each)]
