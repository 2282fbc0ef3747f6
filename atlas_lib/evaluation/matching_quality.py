"""Quality of scored matching on pairs whose answer is known: precision and recall by tier, calibration, errors.

precision = right pairs / pairs; recall = right pairs / pairs of the truth; F1 their harmonic mean. `suggested` counts
automatic and suggested pairs together; pairs that are only possible count as not found. The truth is compared with the
result, never used to find it. Where the truth gives a record several partners, each pair counts, and one-to-one
matching cannot find them all: `findable_pairs` says how many it could.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from atlas_lib.core.errors import InputError, SettingsError
from atlas_lib.evaluation.labelled_pairs import Labelled
from atlas_lib.present.charts import Chart
from atlas_lib.reconciliation.scored.scoring import ScoredPairs, ScoringSettings, assign_pairs, score_pairs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BINS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])
_LEAST_PROBABILITY = 0.01
_LONGEST_LAG = 180  # days, looked at to find the date window
_KEYS = ["left_key", "right_key"]


class Quality:
    """A scored comparison with its truth."""

    def __init__(self, labelled: Labelled, settings: ScoringSettings, labels: pd.DataFrame | None = None) -> None:
        self.labelled, self.settings = labelled, settings
        self.scored: ScoredPairs = score_pairs(labelled.left, labelled.right, settings, labels)
        found = assign_pairs(self.scored, settings)
        self.found = found.merge(labelled.truth.assign(is_right=True), on=_KEYS, how="left", validate="one_to_one")
        self.found["is_right"] = self.found["is_right"].eq(True)

    def tiers(self) -> dict[str, dict[str, float]]:
        """precision, recall and F1 of `auto` and of `suggested` (auto + suggested); pairs, right."""
        listed = {"auto": ["auto"], "suggested": ["auto", "suggested"]}
        return {name: self._rates(self.found[self.found["tier"].isin(tiers)]) for name, tiers in listed.items()}

    def _rates(self, pairs: pd.DataFrame) -> dict[str, float]:
        right, truth = int(pairs["is_right"].sum()), len(self.labelled.truth)
        precision, recall = right / len(pairs) if len(pairs) else 1.0, right / truth if truth else 1.0
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        return {"precision": precision, "recall": recall, "f1": f1, "pairs": len(pairs), "right": right}

    def findable_pairs(self) -> int:
        """Pairs of the truth that can be found together when each record is used once."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        truth = self.labelled.truth
        if truth.empty:
            return 0
        ours, theirs = (pd.factorize(truth[key])[0] for key in _KEYS)
        graph = csr_array((np.ones(len(truth), dtype=np.int8), (ours, theirs)))
        return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())

    def calibration(self) -> pd.DataFrame:
        """Candidate pairs from 1 % on by probability: bin, pairs, predicted (mean) and observed (share right)."""
        pairs = self._candidates()
        pairs = pairs[pairs["probability"] >= _LEAST_PROBABILITY]
        which = pd.cut(pairs["probability"], _BINS.tolist(), include_lowest=True)
        table = pairs.groupby(which, observed=True).agg(
            pairs=("probability", "size"), predicted=("probability", "mean"), observed=("is_right", "mean")
        )
        return (
            table.rename_axis("bin")
            .reset_index()
            .assign(bin=lambda t: t["bin"].map(lambda b: f"{max(b.left, 0):.2f}-{b.right:.2f}").astype("str"))
        )

    def _candidates(self) -> pd.DataFrame:
        scored = self.scored
        named = pd.DataFrame(
            {
                "left_key": scored.left["key"].to_numpy(object)[scored.left_row],
                "right_key": scored.right["key"].to_numpy(object)[scored.right_row],
                "probability": scored.probability,
            }
        )
        named = named.merge(self.labelled.truth.assign(is_right=True), on=_KEYS, how="left", validate="one_to_one")
        return named.assign(is_right=named["is_right"].eq(True))

    def wrong_pairs(self, count: int) -> pd.DataFrame:
        """The likeliest wrong pairs, automatic ones first, with both records, the rival and the evidence."""
        listed = self.found[~self.found["is_right"] & (self.found["tier"] != "possible")]
        worst = listed.sort_values(["tier", "probability", "left_key"], ascending=[True, False, True]).head(count)
        partner = self.labelled.truth.drop_duplicates("left_key").set_index("left_key")["right_key"]
        return self._described(worst.assign(true_right_key=worst["left_key"].map(partner)))

    def missed_pairs(self, count: int) -> tuple[pd.DataFrame, pd.Series]:
        """Pairs of the truth that are neither automatic nor suggested, with the reason; and how often each reason."""
        listed = self.found[self.found["tier"] != "possible"]
        missed = self.labelled.truth.merge(listed[[*_KEYS, "tier"]], on=_KEYS, how="left", validate="one_to_one")
        missed = missed[missed["tier"].isna()].drop(columns="tier")
        missed = missed.merge(self._candidates()[[*_KEYS, "probability"]], on=_KEYS, how="left", validate="one_to_one")
        described = self._described(missed)
        described["reason"] = self._reasons(described, listed)
        shown = described.sort_values("reason", kind="stable").groupby("reason", sort=False).head(count)
        return shown, described["reason"].value_counts()

    def _described(self, pairs: pd.DataFrame) -> pd.DataFrame:
        columns = ["key", "day", "amount_minor", "currency", "reference_text"]
        named = pairs.merge(
            self.labelled.left[columns].add_prefix("left_"), on="left_key", how="left", validate="many_to_one"
        )
        return named.merge(
            self.labelled.right[columns].add_prefix("right_"), on="right_key", how="left", validate="many_to_one"
        )

    def _reasons(self, missed: pd.DataFrame, listed: pd.DataFrame) -> np.ndarray:
        lag = (missed["right_day"] - missed["left_day"]).dt.days
        ratio = missed["right_amount_minor"].astype("float64") / missed["left_amount_minor"].astype("float64")
        taken = missed["left_key"].isin(listed["left_key"]) | missed["right_key"].isin(listed["right_key"])
        ours, rate = self.settings, self.settings.amount_rate
        return np.select(
            [
                lag.isna() | ratio.isna(),
                missed["left_currency"] != missed["right_currency"],
                (lag < -ours.days_before) | (lag > ours.days_after),
                missed["probability"].isna() & ((ratio > 1 + rate) | (ratio < 1 / (1 + rate))),
                missed["probability"].isna(),
                taken,
                missed["probability"] >= 0.1,
            ],
            [
                "no date or amount", "other currency", "outside the date window", "amounts too far apart, no rare word",
                "texts begin differently", "another pair was likelier", "only possible, not suggested",
            ],
            "too little evidence",
        )  # fmt: skip


def chosen_settings(
    labelled: Labelled, window: tuple[int | None, int | None], given: Mapping[str, Any]
) -> ScoringSettings:
    """The settings asked for; a side of the date window that is not given is read from the data, else the default."""
    seen = usual_window(labelled.left, labelled.right) or (None, None)
    names = ("days_before", "days_after")
    chosen = {
        n: s if g is None else g for n, g, s in zip(names, window, seen, strict=True) if not (g is None and s is None)
    }
    try:
        return ScoringSettings.model_validate({**given, **chosen})
    except ValueError as error:
        raise SettingsError("The settings are not valid", found=str(error)) from error


def told(quality: Quality, show: int) -> Iterator[str]:
    """The report, line by line."""
    ours = quality.settings
    yield from quality.labelled.notes
    yield f"date window: {ours.days_before} days before to {ours.days_after} after; {len(quality.scored.pairs):,} candidate pairs"
    truth, findable = len(quality.labelled.truth), quality.findable_pairs()
    if findable < truth:
        yield f"{truth - findable:,} pairs give a record a further partner: one-to-one matching finds {findable:,} at most"
    for tier, rate in quality.tiers().items():
        name = "auto" if tier == "auto" else "auto + suggested"
        yield (
            f"{name:<17} precision {rate['precision']:.4%}  recall {rate['recall']:.4%}  F1 {rate['f1']:.4f}"
            f"  ({rate['right']:,} right of {rate['pairs']:,}; truth {truth:,})"
        )
    yield "calibration: predicted, observed, pairs"
    for row in quality.calibration().to_dict("records"):
        yield f"  {row['bin']}  {row['predicted']:.3f}  {row['observed']:.3f}  {row['pairs']:>9,}"
    wrong = quality.wrong_pairs(show)
    yield f"wrong pairs (the first {len(wrong)}):"
    yield from (f"  {row['tier']}: {told_pair(row)}" for row in wrong.to_dict("records"))
    missed, reasons = quality.missed_pairs(show)
    yield "missed pairs: " + (", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none")
    yield from (f"  {row['reason']}: {told_pair(row)}" for row in missed.to_dict("records"))


def usual_window(left: pd.DataFrame, right: pd.DataFrame) -> tuple[int, int] | None:
    """Days before and after that the data show: lags of records whose amount is unique on both sides.

    A lag counts when clearly more pairs have it than chance would give; None where no lag stands out.
    """
    dated = [side.dropna(subset=["day", "amount_minor"]) for side in (left, right)]
    if any(side.empty for side in dated):
        return None
    amount = ["amount_minor", "currency", "direction"]
    ours, theirs = (side.drop_duplicates(amount, keep=False) for side in dated)
    both = ours.merge(theirs, on=amount, validate="one_to_one")
    lags, chance = _chance_lags(*(side["day"] for side in dated))
    counts = (both["day_y"] - both["day_x"]).dt.days.value_counts().reindex(lags, fill_value=0).to_numpy()
    possible = (chance > 0) & (np.abs(lags) <= _LONGEST_LAG)
    scale = float(np.median(counts[possible] / chance[possible])) if possible.any() else 0.0
    expected = np.maximum(chance * scale, float(counts[possible].mean()) / 20)
    seen = lags[possible & (counts > np.maximum(expected + 5 * expected**0.5 + 3, 0.001 * counts.sum()))]
    if not len(seen):
        return None
    return max(-int(seen.min()) + 2, 2), max(int(seen.max()) + 2, 2)


def _chance_lags(ours: pd.Series, theirs: pd.Series) -> tuple[Ints, Floats]:
    """Every possible lag in days, and how many pairs of days have it."""
    first = min(ours.min(), theirs.min())
    days = [((side - first).dt.days).to_numpy(np.int64) for side in (ours, theirs)]
    mine, other = (np.bincount(side).astype(np.float64) for side in days)
    return np.arange(1 - len(mine), len(other)), np.correlate(other, mine, "full")


def calibration_chart(table: pd.DataFrame, title: str) -> Chart:
    """Predicted against observed, with the diagonal on which a perfectly calibrated probability lies."""
    points = {
        "type": "scatter", "mode": "lines+markers", "name": "pairs", "x": table["predicted"].round(4).tolist(),
        "y": table["observed"].round(4).tolist(), "text": [f"{n:,} pairs" for n in table["pairs"]],
    }  # fmt: skip
    diagonal = {
        "type": "scatter", "mode": "lines", "name": "as predicted", "x": [0, 1], "y": [0, 1], "line": {"dash": "dot"},
    }  # fmt: skip
    layout = {
        "title": {"text": title},
        "xaxis": {"title": {"text": "predicted probability"}, "range": [0, 1.02], "tickformat": ".0%"},
        "yaxis": {"title": {"text": "share that is right"}, "range": [0, 1.02], "tickformat": ".0%"},
    }
    told = "; ".join(
        f"{row['predicted']:.0%} predicted, {row['observed']:.0%} right" for row in table.to_dict("records")
    )
    return Chart([points, diagonal], layout, f"{title}: {told}")


def check_chart_path(path: Path) -> None:
    """Raises InputError where no file can be written at `path`; to be called before the work."""
    folder = path.parent
    if not folder.is_dir() or path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(
            "The chart cannot be written", where=str(path),
            expected="a file name in a folder that exists and may be written to",
            remedy="make the folder, or name another file by --chart",
        )  # fmt: skip


def write_chart(chart: Chart, path: Path) -> None:
    """A page of its own that opens without a network."""
    import plotly.graph_objects as go

    page = go.Figure(chart.figure).to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    path.write_text(page, encoding="utf-8")


def told_pair(row: Mapping[Any, Any]) -> str:
    """One pair in one line: both records, what speaks for it, and its rival."""
    line = f"{_record(row, 'left')}  |  {_record(row, 'right')}"
    if row.get("probability") == row.get("probability") and row.get("probability") is not None:
        line += f"  |  probability {row['probability']:.3f}"
    if isinstance(row.get("rival_left_key"), str):
        line += f", rival {row['rival_left_key']} - {row['rival_right_key']} {row['rival_probability']:.3f}"
    if isinstance(row.get("true_right_key"), str):
        line += f", right would be {row['true_right_key']}"
    evidence = [f"{k[:-9]} {v:+.1f}" for k, v in row.items() if str(k).endswith("_evidence")]
    return line + (f"  |  evidence {', '.join(evidence)}" if evidence else "")


def _record(row: Mapping[Any, Any], side: str) -> str:
    amount, day, text = row[f"{side}_amount_minor"], row[f"{side}_day"], row[f"{side}_reference_text"]
    figures = "no amount" if pd.isna(amount) else f"{int(amount):,} minor"
    return f"{row[f'{side}_key']} {'no date' if pd.isna(day) else day.date()} {figures} {'' if pd.isna(text) else text}"
