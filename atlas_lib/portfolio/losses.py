"""How much a year of defaults can cost: simulated losses when contracts default together, and their tail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared

Numbers = NDArray[np.float64]

LEVELS = (0.95, 0.975, 0.99)
_SINGLE_COUNT = 2_000
_BLOCK_DRAWS = 500
_BAR_COUNT = 40


def simulate_losses(expected_losses: pd.DataFrame, settings: PortfolioSettings) -> dict[str, pd.DataFrame]:
    """The distribution of the book's loss in a year, per currency, with value at risk and CVaR.

    A contract defaults when a normal variable falls below the quantile of its PD; the variable is
    sqrt(c) x market + sqrt(m) x merchant + sqrt(1 - c - m) x own, with c `default_correlation` and m
    `merchant_correlation`. It then loses outstanding x LGD; loss is positive. CVaR at level a is the mean of the
    worst 1 - a, the draw on the boundary counted in part (Rockafellar and Uryasev, 2002).

    The 2,000 largest contracts are drawn one by one. The others are drawn by merchant and PD: given market and
    merchant their loss is nearly normal, with the mean and variance of its independent defaults.

    Parameters: expected_losses (key contract_id). Returns: loss_measures (key currency, level_rate),
    loss_distribution (key currency, step).
    """
    if settings.default_correlation + settings.merchant_correlation >= 1:
        raise SettingsError(
            "Correlations leave nothing to a contract's own fate", where="default_correlation, merchant_correlation",
            expected="together below 1", found=f"{settings.default_correlation} + {settings.merchant_correlation}",
        )  # fmt: skip
    measures, bars = [], []
    for currency, book in expected_losses[expected_losses["outstanding_minor"] > 0].groupby("currency", sort=True):
        losses = draw_losses(book, settings)
        measures.append(_measures(losses, book).assign(currency=currency))
        bars.append(_bars(losses).assign(currency=currency))
    return {
        name: declared(name).shaped(pd.concat(parts, ignore_index=True)) if parts else declared(name).empty()
        for name, parts in (("loss_measures", measures), ("loss_distribution", bars))
    }


def draw_losses(book: pd.DataFrame, settings: PortfolioSettings) -> Numbers:
    """One loss per draw, minor units; stage 3 is in default already and counts in full."""
    exposure = (book["outstanding_minor"] * book["lgd_rate"]).to_numpy(np.float64)
    order = np.argsort(-exposure, kind="stable")
    groups, merchant = np.unique(book["merchant_id"].to_numpy(dtype=str)[order], return_inverse=True)
    default_rate = np.where(book["stage_no"] == 3, 1.0, book["pd_rate"])[order]
    contracts = _Contracts(exposure[order], default_rate, merchant, len(groups))
    random = np.random.default_rng(settings.loss_seed)
    return np.concatenate(list(_draws(contracts, settings, random)))


def conditional_default(pd_rate: ArrayLike, common: ArrayLike, correlation: float) -> Numbers:
    """PD given the common factors: norm((norm^-1(PD) - common) / sqrt(1 - correlation)).

    `common` is what the factors contribute, sqrt(c) x market + ...; at its 0.1 % quantile this is the stressed PD
    of Basel II, paragraph 272.
    """
    from scipy.special import ndtr, ndtri

    return np.asarray(ndtr((ndtri(np.asarray(pd_rate)) - np.asarray(common)) / np.sqrt(1 - correlation)))


def measure_tail(losses: ArrayLike, level: float) -> tuple[float, float]:
    """Value at risk and CVaR of equally likely losses; 1..100 at 97.5 %: 98 and 99.2.

    The worst n (1 - level) losses are averaged; where that is no whole number, the next one counts for the rest.
    """
    ranked = np.sort(np.asarray(losses, dtype=np.float64))[::-1]
    weight = len(ranked) * (1 - level)
    whole = int(weight)
    edge = ranked[min(whole, len(ranked) - 1)]
    return float(edge), float((ranked[:whole].sum() + (weight - whole) * edge) / weight)


@dataclass(frozen=True)
class _Contracts:
    """Loss given default, PD and merchant of each contract, largest first."""

    exposure: Numbers
    default_rate: Numbers
    merchant: NDArray[np.int64]
    merchant_count: int


def _draws(contracts: _Contracts, settings: PortfolioSettings, random: np.random.Generator) -> Iterator[Numbers]:
    market_share, merchant_share = settings.default_correlation, settings.merchant_correlation
    own = np.sqrt(1 - market_share - merchant_share)
    single = slice(0, _SINGLE_COUNT)
    barrier = _barriers(contracts.default_rate[single])
    rest = _Rest.of(contracts)
    for low in range(0, settings.loss_draw_count, _BLOCK_DRAWS):
        count = min(_BLOCK_DRAWS, settings.loss_draw_count - low)
        common = np.sqrt(market_share) * random.standard_normal((count, 1))
        common = common + np.sqrt(merchant_share) * random.standard_normal((count, contracts.merchant_count))
        fate = common[:, contracts.merchant[single]] + own * random.standard_normal((count, len(barrier)))
        loss = (fate < barrier) @ contracts.exposure[single]
        yield loss + rest.drawn(common, market_share + merchant_share, random) if len(rest.total) else loss


def _barriers(default_rate: Numbers) -> Numbers:
    distinct, position = np.unique(default_rate, return_inverse=True)
    normal = NormalDist()
    edge = [np.inf if p >= 1 else -np.inf if p <= 0 else normal.inv_cdf(p) for p in distinct.tolist()]
    return np.asarray(np.array(edge)[position])


@dataclass(frozen=True)
class _Rest:
    """Contracts too many and too small to be drawn one by one, by merchant and PD."""

    merchant: NDArray[np.int64]
    default_rate: Numbers
    total: Numbers
    squares: Numbers

    @classmethod
    def of(cls, contracts: _Contracts) -> _Rest:
        small = slice(_SINGLE_COUNT, None)
        keys = np.column_stack([contracts.merchant[small], contracts.default_rate[small]])
        distinct, group = np.unique(keys, axis=0, return_inverse=True)
        exposure, size, group = contracts.exposure[small], len(distinct), group.reshape(-1)
        total = np.bincount(group, exposure, size).astype(np.float64)
        squares = np.bincount(group, exposure**2, size).astype(np.float64)
        return cls(distinct[:, 0].astype(np.int64), distinct[:, 1], total, squares)

    def drawn(self, common: Numbers, correlation: float, random: np.random.Generator) -> Numbers:
        p = conditional_default(self.default_rate, common[:, self.merchant], correlation)
        spread = np.sqrt((p * (1 - p)) @ self.squares)
        return np.clip(p @ self.total + spread * random.standard_normal(len(p)), 0, self.total.sum())


def _measures(losses: Numbers, book: pd.DataFrame) -> pd.DataFrame:
    tails = [measure_tail(losses, level) for level in LEVELS]
    return pd.DataFrame(
        {
            "level_rate": LEVELS,
            "mean_loss_minor": round(float(losses.mean())),
            "value_at_risk_minor": [round(var) for var, _ in tails],
            "cvar_minor": [round(cvar) for _, cvar in tails],
            "cvar_rate": [cvar / book["outstanding_minor"].sum() for _, cvar in tails],
            "draw_count": len(losses),
        }
    )


def _bars(losses: Numbers) -> pd.DataFrame:
    """Bars of equal width from no loss to the largest one drawn; no loss at all has a bar of its own."""
    top = max(float(losses.max()), 1.0)
    edges = np.linspace(0, top, _BAR_COUNT + 1)
    some = losses[losses > 0]
    count = np.concatenate([[len(losses) - len(some)], np.histogram(some, edges)[0]])
    low = np.concatenate([[0], np.rint(edges[:-1])]).astype(np.int64)
    high = np.concatenate([[0], np.rint(edges[1:])]).astype(np.int64)
    return pd.DataFrame(
        {
            "step": range(len(count)),
            "from_minor": low,
            "to_minor": high,
            "draw_count": count,
            "share_rate": count / len(losses),
        }
    )
