from fractions import Fraction

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from atlas_lib.batching_settlement.day_rates import converted_up
from atlas_lib.core.money import scale_of

CURRENCIES = ("EUR", "USD", "JPY", "KWD")


def up(amounts: list[int], source: str, target: str, rates: dict[str, float]) -> list[int]:
    table = pd.DataFrame({"rate": rates})
    sides = pd.Series([source] * len(amounts)), pd.Series([target] * len(amounts))
    return converted_up(np.array(amounts, dtype=np.int64), *sides, table).tolist()


def test_what_is_owed_is_rounded_up_and_what_goes_back_towards_zero() -> None:
    assert up([1, -1, 8, 160], "JPY", "EUR", {"EUR": 1.0, "JPY": 160.0}) == [1, 0, 5, 100]


def test_a_rate_that_binary_numbers_cannot_hold_still_gives_the_whole_number() -> None:
    assert up([114, 115, -114], "USD", "EUR", {"EUR": 1.0, "USD": 1.14}) == [100, 101, -100]


def test_a_currency_without_a_rate_gives_nothing() -> None:
    assert up([5], "USD", "EUR", {"EUR": 1.0}) == [0]


@given(
    st.lists(st.integers(-(10**15), 10**15) | st.integers(-2_000, 2_000), max_size=20),
    st.sampled_from(CURRENCIES),
    st.sampled_from(CURRENCIES),
    st.lists(st.decimals("0.0001", "20000", places=4).map(float), min_size=3, max_size=3),
)
def test_rounding_up_equals_exact_fractions(amounts: list[int], source: str, target: str, rates: list[float]) -> None:
    known = dict(zip(CURRENCIES, [1.0, *rates], strict=True))
    per_euro = {c: Fraction(str(r)) * int(scale_of(c)) for c, r in known.items()}
    wanted = [
        -(-(a * per_euro[target]) // per_euro[source])
        for a in amounts
        if abs(a * known[target] / known[source]) < 2**53
    ]
    assert up([a for a in amounts if abs(a * known[target] / known[source]) < 2**53], source, target, known) == wanted
