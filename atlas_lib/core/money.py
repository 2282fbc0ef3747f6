"""Amounts as int64 minor units, exact to the cent.

Exponents are those of ISO 4217 (amendment list of 2024): two unless listed. A figure typed by a
person, `0.1` or `2374.40`, means its shortest decimal text; rounding is done on that decimal, so
that every vectorised result equals `Decimal` row by row.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from atlas_lib.core.errors import AtlasError

Rounding = Literal["half_even", "half_up"]
Int64 = NDArray[np.int64]

_DECIMAL_MODE = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}
_EXPONENT = (
    dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0)
    | dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3)
    | dict.fromkeys("CLF UYW".split(), 4)
)
_EXACT_FLOAT = float(2**52)


@lru_cache(maxsize=1)
def currency_codes() -> frozenset[str]:
    """The ISO 4217 alphabetic codes (from pycountry, which carries the standard's list)."""
    import pycountry

    return frozenset(c.alpha_3 for c in pycountry.currencies)


@lru_cache(maxsize=1)
def _currency_texts() -> pd.Series:
    return pd.Series(sorted(currency_codes()), dtype="str")


def is_currency(codes: pd.Series) -> NDArray[np.bool_]:
    """Which of the texts are ISO 4217 codes."""
    return codes.isin(_currency_texts()).to_numpy(dtype=bool)


def exponent(currency: str) -> int:
    """Digits after the decimal point: `exponent("EUR") == 2`, JPY 0, BHD 3."""
    return _EXPONENT.get(currency, 2)


def odd_exponents() -> dict[str, int]:
    """The currencies that do not have two digits, and how many they have: for statements that write amounts."""
    return dict(_EXPONENT)


def scale_of(currency: pd.Series | str) -> Int64:
    """Minor units in one unit of the currency, per row: EUR 100, JPY 1, BHD 1,000."""
    if isinstance(currency, str):
        return np.asarray(10 ** exponent(currency), dtype=np.int64)
    codes, names = pd.factorize(currency)
    table = np.array([10 ** exponent(str(n)) for n in names] + [100], dtype=np.int64)
    return table[codes]


def round_product(left: ArrayLike, right: ArrayLike, rounding: Rounding = "half_even") -> Int64:
    """round(left x right) to int64, equal to `Decimal` on every row.

    Floats stand for their shortest decimal text. Rows whose product lies so near a tie (or is so
    large) that binary arithmetic cannot decide are decided by `Decimal`; the rest is vectorised.
    """
    a, b = np.broadcast_arrays(np.asarray(left), np.asarray(right))
    product = a.astype(np.float64) * b.astype(np.float64)
    if not np.isfinite(product).all():
        raise AtlasError("An amount is not a number", expected="finite numbers", found="empty or infinite value")
    size = np.abs(product)
    doubtful = np.abs(size - np.floor(size) - 0.5) <= 1e-6 + size * 1e-14
    doubtful |= size >= _EXACT_FLOAT / 4
    out = np.rint(np.where(doubtful, 0.0, product)).astype(np.int64)
    if doubtful.any():
        out[doubtful] = _round_decimal(a[doubtful], b[doubtful], rounding)
    return out


def _round_decimal(a: NDArray[np.generic], b: NDArray[np.generic], rounding: Rounding) -> Int64:
    mode, one = _DECIMAL_MODE[rounding], Decimal(1)
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    return np.array([int((Decimal(str(x)) * Decimal(str(y))).quantize(one, mode)) for x, y in pairs], dtype=np.int64)


def to_minor(amount: ArrayLike, currency: pd.Series | str, rounding: Rounding = "half_even") -> Int64:
    """Amounts in units to minor units: `to_minor([2374.4], "EUR") == [237440]`."""
    return round_product(amount, scale_of(currency), rounding)


def to_units(minor: ArrayLike, currency: pd.Series | str) -> NDArray[np.float64]:
    """Minor units to units, for display and Excel cells only; never computed with."""
    return np.asarray(minor, dtype=np.float64) / scale_of(currency)


def format_minor(minor: int, currency: str) -> str:
    """`format_minor(123456, "EUR") == "1,234.56"`; the sign is a minus."""
    digits = exponent(currency)
    return f"{Decimal(int(minor)).scaleb(-digits):,.{digits}f}"
