"""Scored matching against Splink and a pandas join, on the same records in the same process.

`python -m benchmarks scored_matching` makes its own records; `python -m benchmarks.scored_matching LEFT RIGHT TRUTH`
takes files, and after the comparison
spoils them: a fifth of either side taken away, texts misspelt, a fee kept, lists that have nothing in common. Splink (optional: pip install splink) gets comparisons of amount, days and text in the way its own example
of bank payments has them, and of its pairs those count that are the best of both records. Quality is told as the
precision of the likeliest pairs that reach 82 % and 94.5 % of the truth; CPU seconds as ratios.
"""

from __future__ import annotations

import importlib.util
import logging
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.evaluation.labelled_pairs import Labelled, read_labelled
from atlas_lib.evaluation.matching_quality import chosen_settings
from atlas_lib.evaluation.recognised_columns import Columns
from atlas_lib.reconciliation.scored.scoring import score_candidates

RECALLS = (0.82, 0.945)
SIZES = (10_000, 40_000)
KEYS = ["left_key", "right_key"]


def line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def generated(count: int, alone: int) -> Labelled:
    """`count` payments with partner and `alone` more on either side: short names, initials, cut texts, fees, lags."""
    random = np.random.default_rng(5)
    syllables = np.array("al ba cor den el fir gor han ist jur kal lim mor nad os pet qui rom sal tur".split())
    total = count + alone
    first = random.choice(syllables, (total, 2))
    given = np.where(random.random(total) < 0.6, first[:, 0].astype("<U1"), np.char.add(first[:, 0], first[:, 1]))
    family = pd.Series(["".join(row) for row in random.choice(syllables, (total, 3))])
    text = pd.Series(given) + " " + family + pd.Series(random.choice(["", " gift", " rent", " money"], total))
    days, lag = random.integers(0, 120, total), 1 + random.geometric(0.5, total)
    amount = np.exp(random.normal(9, 1.6, total)).astype(np.int64) + 100
    off = np.where(random.random(total) < 0.7, np.exp(random.normal(0, 0.025, total)), 1)
    turned = np.where(np.arange(total) < count, np.arange(total), np.roll(np.arange(total), 7))
    start = pd.Timestamp("2026-01-01")
    common = {"currency": "", "direction": "", "name_text": None}
    names = pd.Series(np.arange(total)).astype("str")
    left = pd.DataFrame(
        {"key": "L" + names, "day": start + pd.to_timedelta(days, "D"), "amount_minor": amount, "reference_text": text.str[:15]} | common
    )  # fmt: skip
    cut = text.str[:12].where(random.random(total) < 0.4, text)
    right = pd.DataFrame(
        {"key": "R" + names, "day": start + pd.to_timedelta(days + lag, "D"), "amount_minor": np.rint(amount * off).astype(np.int64), "reference_text": cut[turned].to_numpy()} | common
    )  # fmt: skip
    right["amount_minor"] = np.where(np.arange(total) < count, right["amount_minor"], right["amount_minor"] * 3)
    truth = pd.DataFrame({"left_key": "L" + names[:count], "right_key": "R" + names[:count]})
    return Labelled(left, right, truth, [])


def ours(data: Labelled) -> pd.DataFrame:
    return score_candidates(data.left, data.right, chosen_settings(data, (None, None), {}))


def with_splink(data: Labelled) -> pd.DataFrame:
    from splink import DuckDBAPI, Linker, SettingsCreator

    logging.getLogger("splink").setLevel(logging.ERROR)
    settings = SettingsCreator(
        link_type="link_only",
        unique_id_column_name="key",
        probability_two_random_records_match=1 / len(data.right),
        blocking_rules_to_generate_predictions=[
            {"blocking_rule": f"{near} AND r.amount_minor / l.amount_minor BETWEEN 0.87 AND 1.15 AND r.day - l.day BETWEEN 0 AND 30"}
            for near in (
                "substr(l.text, 1, 3) = substr(r.text, 1, 3)",
                "substr(l.text, 1, 1) = substr(r.text, 1, 1) AND l.amount_minor = r.amount_minor",
            )
        ],
        comparisons=[
            comparison("amount", "abs(amount_minor_l - amount_minor_r) <= amount_minor_l * {}", (0, 0.01, 0.03, 0.1)),
            comparison("day", "day_r - day_l <= {}", (1, 2, 4, 6, 10)),
            comparison("text", "substr(text_l, 1, {0}) = substr(text_r, 1, {0})", (40, 14, 11, 8, 5)),
        ],
    )  # fmt: skip
    api, origin = DuckDBAPI(), pd.Timestamp(0)
    sides = [
        side.assign(day=(side["day"] - origin).dt.days, text=side["reference_text"].fillna("").str.upper())[["key", "day", "amount_minor", "text"]]
        for side in (data.left, data.right)
    ]  # fmt: skip
    named = zip(sides, ("a_left", "b_right"), strict=True)
    linker = Linker([api.register(side, dataset_display_name=name) for side, name in named], settings)
    linker.training.estimate_u_using_random_sampling(max_pairs=1_000_000, seed=1)
    for rule in ("l.text = r.text", "l.amount_minor = r.amount_minor"):
        linker.training.estimate_parameters_using_expectation_maximisation(rule, record_sample_proportion=1.0)
    found = linker.inference.predict(threshold_match_probability=0.001).as_pandas_dataframe()
    pairs = found.rename(columns={"key_l": "left_key", "key_r": "right_key", "match_probability": "probability"})
    best = [pairs["match_weight"] >= pairs.groupby(key)["match_weight"].transform("max") for key in KEYS]
    return pairs[best[0] & best[1]].drop_duplicates("left_key").drop_duplicates("right_key")


def comparison(name: str, condition: str, limits: tuple[float, ...]) -> object:
    from splink.comparison_library import CustomComparison

    column = {"amount": "amount_minor"}.get(name, name)
    missing = {
        "sql_condition": f"{column}_l IS NULL OR {column}_r IS NULL",
        "label_for_charts": "missing",
        "is_null_level": True,
    }
    within = [{"sql_condition": condition.format(limit), "label_for_charts": f"within {limit}"} for limit in limits]
    levels = [missing, *within, {"sql_condition": "ELSE", "label_for_charts": "else"}]
    return CustomComparison(output_column_name=name, comparison_levels=levels)


def with_pandas(data: Labelled) -> pd.DataFrame:
    """Equal amount and equal beginning of the text within 30 days, nearest day first, each record once."""
    sides = [
        side.assign(begin=side["reference_text"].fillna("").str.upper().str[:8]) for side in (data.left, data.right)
    ]
    pairs = sides[0].merge(sides[1], on=["amount_minor", "begin"], suffixes=("_l", "_r"))
    pairs = (
        pairs.assign(lag=(pairs["day_r"] - pairs["day_l"]).dt.days)
        .query("0 <= lag <= 30")
        .sort_values(["lag", "key_l"])
    )
    once = pairs.drop_duplicates("key_l").drop_duplicates("key_r")
    named = once.rename(columns={"key_l": "left_key", "key_r": "right_key"})
    return named.assign(probability=1 - 0.01 * named["lag"])  # fmt: skip


def quality(found: pd.DataFrame, truth: pd.DataFrame) -> str:
    ranked = found.sort_values("probability", ascending=False, kind="stable")
    right = ranked[KEYS].merge(truth.assign(ok=True), on=KEYS, how="left")["ok"].eq(True).to_numpy()
    recall = np.cumsum(right) / len(truth)
    parts = [f"all {right.mean():.4f} at recall {recall[-1]:.4f}"]
    for wanted in RECALLS:
        at = np.searchsorted(recall, wanted)
        parts.append(
            f"at {wanted:.1%} {right[: at + 1].mean():.4f}" if at < len(recall) else f"{wanted:.1%} not reached"
        )
    return "precision " + ", ".join(parts)


def spoilt(data: Labelled) -> dict[str, Labelled]:
    """The same records made harder; a truth that lost a record goes with it."""
    random = np.random.default_rng(3)
    fewer = data.left.sample(frac=0.8, random_state=1), data.right.sample(frac=0.8, random_state=2)

    def misspelt(text: str | None) -> str | None:
        if not isinstance(text, str) or len(text) < 4 or random.random() > 0.3:
            return text
        at = int(random.integers(0, len(text) - 1))
        return text[:at] + (text[at + 1] + text[at] + text[at + 2 :] if random.random() < 0.5 else "X" + text[at + 1 :])

    kept = data.right.merge(data.truth, left_on="key", right_on="right_key", how="left")
    sent = kept["left_key"].map(data.left.set_index("key")["amount_minor"]).fillna(kept["amount_minor"])
    half = data.left.sample(frac=0.4, random_state=1)
    partners = data.truth.loc[data.truth["left_key"].isin(half["key"]), "right_key"]
    sides = {
        "a fifth of either side away": fewer,
        "and 30 % of the right texts misspelt": (fewer[0], fewer[1].assign(reference_text=fewer[1]["reference_text"].map(misspelt))),
        "every payment less 1.5 % and 0.25": (data.left, data.right.assign(amount_minor=np.maximum(np.rint(sent.to_numpy(np.float64) * 0.985 - 25), 1).astype(np.int64))),
        "nothing in common": (half, data.right[~data.right["key"].isin(partners)]),
    }  # fmt: skip
    return {name: Labelled(left, right, data.truth[data.truth["left_key"].isin(left["key"]) & data.truth["right_key"].isin(right["key"])], []) for name, (left, right) in sides.items()}  # fmt: skip


def tell_tiers(name: str, data: Labelled) -> None:
    """Precision and recall by tier, and predicted against observed over bands of probability."""
    found = ours(data).merge(data.truth.assign(ok=True), on=KEYS, how="left")
    right = found["ok"].eq(True)
    text = name
    for tier, listed in (("auto", found["tier"] == "auto"), ("with suggested", found["tier"] != "possible")):
        precision = f"{right[listed].mean():.4f}" if listed.any() else "-"
        text += f"; {tier} {listed.sum():,} pairs, precision {precision}, recall {right[listed].sum() / max(len(data.truth), 1):.4f}"
    line(f"  {text}")
    bands = pd.cut(found["probability"], [0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0], include_lowest=True)
    held = pd.DataFrame({"predicted": found["probability"], "observed": right}).groupby(bands, observed=True).mean()
    line("    predicted / observed " + ", ".join(f"{p:.2f} / {o:.2f}" for p, o in held.to_numpy()))


def measure(data: Labelled) -> float:
    taken: dict[str, float] = {}
    peers: list[tuple[str, Callable[[Labelled], pd.DataFrame]]] = [
        ("scored matching", ours),
        ("pandas join", with_pandas),
    ]
    if importlib.util.find_spec("splink"):
        peers.append(("Splink", with_splink))
    for name, work in peers:
        started = time.process_time()
        found = work(data)
        taken[name] = time.process_time() - started
        line(
            f"  {name:<16} {quality(found, data.truth)}; {taken[name]:.1f} CPU s, {taken[name] / taken['scored matching']:.2f} x"
        )
    line(f"  peak of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return taken["scored matching"]


def main() -> None:
    if len(sys.argv) == 4 and Path(sys.argv[1]).is_file():
        left, right, truth = (Path(name) for name in sys.argv[1:])
        data = read_labelled(left, right, truth, (Columns(), Columns()), ("", ""), None)
        line(f"{left.name} and {right.name}: {len(data.left):,} and {len(data.right):,} records")
        measure(data)
        for name, harder in {"as it is": data, **spoilt(data)}.items():
            tell_tiers(name, harder)
        return
    per_row = {}
    for size in SIZES:
        line(f"{size:,} pairs, {size // 5:,} more on either side without partner")
        per_row[size] = measure(generated(size, size // 5)) / size
    line(f"CPU per record at {SIZES[1]:,} against {SIZES[0]:,}: {per_row[SIZES[1]] / per_row[SIZES[0]]:.2f}")


if __name__ == "__main__":
    main()
