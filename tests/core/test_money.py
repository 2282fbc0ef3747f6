from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.money import exponent, format_minor, round_product, to_minor, to_units

amounts = st.integers(-(10**15), 10**15)
rates = st.decimals(0, 10, places=6).map(float)
modes = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}


@given(st.lists(st.tuples(amounts, rates), min_size=1, max_size=20), st.sampled_from(sorted(modes)))
def test_a_rounded_product_equals_decimal_on_every_row(pairs, mode):
    minor, rate = (np.array(column) for column in zip(*pairs, strict=True))
    expected = [int((Decimal(m) * Decimal(str(r))).quantize(Decimal(1), modes[mode])) for m, r in pairs]
    assert round_product(minor, rate, mode).tolist() == expected


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20))
def test_ties_of_ten_percent_are_rounded_to_the_even_cent(tens):
    minor = np.array(tens) * 10 + 5
    expected = [int((Decimal(int(m)) / 10).quantize(Decimal(1), ROUND_HALF_EVEN)) for m in minor]
    assert round_product(minor, 0.1).tolist() == expected


def test_each_currency_has_its_own_exponent():
    assert [exponent(c) for c in ("EUR", "JPY", "BHD", "CLF")] == [2, 0, 3, 4]
    assert to_minor([12.34, 12, 1.2345], pd.Series(["EUR", "JPY", "BHD"])).tolist() == [1234, 12, 1234]
    assert to_units([1234, 12], pd.Series(["EUR", "JPY"])).tolist() == [12.34, 12.0]


def test_an_empty_amount_is_refused():
    with pytest.raises(AtlasError, match="not a number"):
        to_minor([1.0, float("nan")], "EUR")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(123456, "EUR", "1,234.56"), (-5, "EUR", "-0.05"), (1234, "JPY", "1,234"), (1, "BHD", "0.001")],
)
def test_amounts_are_written_with_the_digits_of_their_currency(minor, currency, text):
    assert format_minor(minor, currency) == text
