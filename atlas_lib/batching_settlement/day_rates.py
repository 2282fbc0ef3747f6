"""Amounts in another currency at the day's rates, rounded to the safe side in whole numbers.

A limit is rounded down and what counts under it up, so that a plan within the whole numbers is within the limit itself.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd

from atlas_lib.core.money import Int64, scale_of

_NEAR = 1e-6  # of a minor unit: so near a whole number, whole-number arithmetic decides


def converted_up(amount_minor: Int64, source: pd.Series, target: pd.Series, rates: pd.DataFrame) -> Int64:
    """ceil(amount x rate of target x units of target / (rate of source x units of source)); 0 without a rate.

    Exact: a rate (units per EUR, index currency) stands for its shortest decimal text. Negative amounts are rounded
    towards 0, so minus the result for minus the amount is the amount rounded down.
    Example: 1 JPY at 160.0 is 0.625 cents, so `converted_up` gives 1 cent, and -1 JPY gives 0.
    """
    amount = np.asarray(amount_minor, dtype=np.int64)
    (of_source, sources), (of_target, targets) = pd.factorize(source), pd.factorize(target)
    of_row = of_source * len(targets) + of_target
    factors = [_factor(a, b, rates) for a in sources for b in targets]
    numerator = np.array([f.numerator for f in factors], dtype=object)
    denominator = np.array([f.denominator for f in factors], dtype=object)
    product = amount * np.array([float(f) for f in factors], dtype=float)[of_row]
    near = np.abs(product - np.rint(product)) <= _NEAR + np.abs(product) * 1e-14
    out = np.ceil(np.where(near, 0.0, product)).astype(np.int64)
    rows = np.flatnonzero(near & (amount != 0))
    exact = -((-amount[rows].astype(object) * numerator[of_row[rows]]) // denominator[of_row[rows]])
    out[rows] = exact.astype(np.int64)
    return out


def _factor(source: str, target: str, rates: pd.DataFrame) -> Fraction:
    """Minor units of the target for one of the source."""
    if source == target:
        return Fraction(1)
    if source not in rates.index or target not in rates.index:
        return Fraction(0)
    (of_source, of_target), units = rates.loc[[source, target], "rate"], scale_of(pd.Series([source, target]))
    return Fraction(str(of_target)) * int(units[1]) / (Fraction(str(of_source)) * int(units[0]))
