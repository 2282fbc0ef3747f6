"""Candidate pairs without comparing every row with every other: several rules, each bounded, united.

| rule | two rows of one book (currency, direction) within the date window are a pair when |
|---|---|
| equal | their amounts are equal |
| text | amounts differ by at most `amount_rate` and two of their words begin alike (two letters, one of each word) |
| rare | they share a word that at most 20 rows of either side have; any amount |

A block (words, amount, days) with more than `crowded_rows` right rows is looked up by the words' first three letters
instead, then by whole words; still crowded, it is left out. So a left row has at most a fixed number of candidates,
and the work grows with the rows. Statements in the dialect DuckDB and Spark share.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from atlas_lib.core.engine import Engine
from atlas_lib.reconciliation.scored.words import Words

_KEY_WORDS = 4  # words of a text that make its keys
_COMMON_RATE = 0.05  # a word of more texts than this says nothing
_LETTERS = (1, 3, 64)  # of each word, by level
_RARE_ROWS = 20
_NO_TEXT = ""

_STEPS = [
    ("shifts", "SELECT * FROM (VALUES (-1), (0), (1)) AS v(step)"),
    (
        "left_blocks",
        """
        SELECT k.row, k.level, k.key, l.book, l.day, l.amount_minor,
               l.amount_bucket + a.step AS amount_bucket, l.day_bucket + d.step AS day_bucket
        FROM left_keys k JOIN left_rows l ON l.row = k.row CROSS JOIN shifts a CROSS JOIN shifts d
        WHERE k.level <= 3""",
    ),
    (
        "right_blocks",
        """
        SELECT k.row, k.level, k.key, r.book, r.day, r.amount_minor, r.amount_bucket, r.day_bucket
        FROM right_keys k JOIN right_rows r ON r.row = k.row WHERE k.level <= 3""",
    ),
    (
        "block_sizes",
        """
        SELECT level, key, book, amount_bucket, day_bucket, COUNT(*) AS size
        FROM right_blocks GROUP BY level, key, book, amount_bucket, day_bucket""",
    ),
    (
        "sized_blocks",
        """
        SELECT l.*, s.size FROM left_blocks l
        JOIN block_sizes s ON s.level = l.level AND s.key = l.key AND s.book = l.book
                          AND s.amount_bucket = l.amount_bucket AND s.day_bucket = l.day_bucket""",
    ),
    ("crowded", "SELECT DISTINCT row, level FROM sized_blocks WHERE size > :crowded_rows"),
    (
        "text_pairs",
        """
        SELECT l.row AS left_row, r.row AS right_row, CASE WHEN l.key = :no_text THEN 2 ELSE 1 END AS found_by
        FROM sized_blocks l
        JOIN right_blocks r ON r.level = l.level AND r.key = l.key AND r.book = l.book
                           AND r.amount_bucket = l.amount_bucket AND r.day_bucket = l.day_bucket
        LEFT JOIN crowded c ON c.row = l.row AND c.level = l.level - 1
        WHERE l.size <= :crowded_rows AND (l.level = 1 OR c.row IS NOT NULL) AND r.day - l.day BETWEEN -:days_before AND :days_after
          AND r.amount_minor * 10000 BETWEEN l.amount_minor * :low_bps AND l.amount_minor * :high_bps""",
    ),
    (
        "equal_sizes",
        "SELECT book, amount_minor, day_bucket, COUNT(*) AS size FROM right_rows GROUP BY book, amount_minor, day_bucket",
    ),
    (
        "equal_pairs",
        """
        SELECT l.row AS left_row, r.row AS right_row, 0 AS found_by
        FROM (SELECT x.*, x.day_bucket + d.step AS near_days FROM left_rows x CROSS JOIN shifts d) l
        JOIN equal_sizes s ON s.book = l.book AND s.amount_minor = l.amount_minor AND s.day_bucket = l.near_days
        JOIN right_rows r ON r.book = l.book AND r.amount_minor = l.amount_minor AND r.day_bucket = l.near_days
        WHERE s.size <= :crowded_rows AND r.day - l.day BETWEEN -:days_before AND :days_after""",
    ),
    (
        "rare_keys",
        """
        SELECT key FROM right_keys WHERE level = 9 AND key IN
            (SELECT key FROM left_keys WHERE level = 9 GROUP BY key HAVING COUNT(*) <= :rare_rows)
        GROUP BY key HAVING COUNT(*) <= :rare_rows""",
    ),
    (
        "rare_rows",
        """
        SELECT k.key, k.row, l.book, l.day FROM left_keys k JOIN left_rows l ON l.row = k.row
        WHERE k.level = 9 AND k.key IN (SELECT key FROM rare_keys)""",
    ),
    (
        "rare_pairs",
        """
        SELECT DISTINCT l.row AS left_row, r.row AS right_row, 1 AS found_by
        FROM rare_rows l
        JOIN (SELECT k.key, k.row, m.book, m.day FROM right_keys k JOIN right_rows m ON m.row = k.row
              WHERE k.level = 9) r ON r.key = l.key AND r.book = l.book
        WHERE r.day - l.day BETWEEN -:days_before AND :days_after""",
    ),
    (
        "pairs",
        """
        SELECT left_row, right_row, MAX(found_by) AS found_by
        FROM (SELECT * FROM text_pairs UNION ALL SELECT * FROM equal_pairs UNION ALL SELECT * FROM rare_pairs) p
        GROUP BY left_row, right_row""",
    ),
]


def find_pairs(
    engine: Engine, left: pd.DataFrame, right: pd.DataFrame, words: Words, limits: dict[str, float]
) -> pd.DataFrame:
    """Pairs (left_row, right_row, found_by 0 equal amount only, 1 text, 2 both without text), sorted.

    `left`, `right`: book, day (days since 1970), amount_minor (not negative) by position; `limits`: days_before,
    days_after, amount_rate, crowded_rows.
    """
    days = int(limits["days_before"] + limits["days_after"]) + 1
    width = float(np.log1p(limits["amount_rate"]))
    inputs = {
        "left_rows": _rows(left, width, days),
        "right_rows": _rows(right, width, days),
        "left_keys": _keys(words, words.left),
        "right_keys": _keys(words, words.right),
    }
    parameters = {
        "days_before": int(limits["days_before"]),
        "days_after": int(limits["days_after"]),
        "crowded_rows": int(limits["crowded_rows"]),
        "rare_rows": _RARE_ROWS,
        "no_text": _NO_TEXT,
        "low_bps": int(np.floor(1e4 / (1 + limits["amount_rate"]))),
        "high_bps": int(np.ceil(1e4 * (1 + limits["amount_rate"]))),
    }
    found = engine.run(_STEPS, inputs, ["pairs"], parameters)["pairs"]
    return found.sort_values(["left_row", "right_row"], ignore_index=True)


def _rows(rows: pd.DataFrame, width: float, days: int) -> pd.DataFrame:
    amount = rows["amount_minor"].to_numpy(np.int64)
    return pd.DataFrame(
        {
            "row": np.arange(len(rows)),
            "book": rows["book"].to_numpy(np.int64),
            "day": rows["day"].to_numpy(np.int64),
            "amount_minor": amount,
            "amount_bucket": np.floor(np.log(np.maximum(amount, 1)) / width).astype(np.int64),
            "day_bucket": rows["day"].to_numpy(np.int64) // days,
        }
    )


def _keys(words: Words, table: npt.NDArray[np.int32]) -> pd.DataFrame:
    """Per row its keys: level 1 to 3 two words' beginnings in alphabetical order, level 9 one whole word."""
    texts = len(words.left) + len(words.right)
    is_telling = words.counts <= max(_COMMON_RATE * texts, _RARE_ROWS)
    is_telling |= np.char.str_len(words.vocabulary) == 1
    chosen = _first_telling(table, is_telling)
    parts = [_whole_words(words, table), _opening_words(words, chosen)]
    for level, letters in enumerate(_LETTERS, start=1):
        begun = np.append(np.array([word[:letters] for word in words.vocabulary], dtype=object), _NO_TEXT)
        parts += [
            _pair_keys(begun[chosen], one, other, level) for one, other in combinations(range(chosen.shape[1]), 2)
        ]
        is_single = (chosen[:, 1] < 0) if chosen.shape[1] > 1 else np.ones(len(chosen), dtype=bool)
        parts.append(
            pd.DataFrame({"row": np.flatnonzero(is_single), "level": level, "key": begun[chosen[is_single, 0]]})
        )
    made = pd.concat(parts, ignore_index=True).astype({"key": "str"})
    return made.drop_duplicates(ignore_index=True)


def _first_telling(table: npt.NDArray[np.int32], is_telling: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """The first words of each text that say something; a text without any gives its first words."""
    tells = np.append(is_telling, False)[table]
    tells |= (table >= 0) & ~tells.any(axis=1, keepdims=True)
    order = np.argsort(~tells, axis=1, kind="stable")[:, :_KEY_WORDS]
    return np.where(np.take_along_axis(tells, order, axis=1), np.take_along_axis(table, order, axis=1), -1)


def _opening_words(words: Words, chosen: np.ndarray) -> pd.DataFrame:
    """The first word as it is: a text cut down to one word has no two to go by."""
    rows = np.flatnonzero(chosen[:, 0] >= 0)
    opening = words.vocabulary[chosen[rows, 0]].astype(object)
    is_long = np.char.str_len(words.vocabulary)[chosen[rows, 0]] >= 3
    return pd.DataFrame({"row": rows[is_long], "level": 1, "key": opening[is_long]})


def _pair_keys(begun: npt.NDArray[np.object_], one: int, other: int, level: int) -> pd.DataFrame:
    rows = np.flatnonzero(begun[:, other] != _NO_TEXT)
    first, second = begun[rows, one], begun[rows, other]
    swapped = first > second
    key = np.where(swapped, second, first) + " " + np.where(swapped, first, second)
    return pd.DataFrame({"row": rows, "level": level, "key": key})


def _whole_words(words: Words, table: npt.NDArray[np.int32]) -> pd.DataFrame:
    rows, columns = np.nonzero(table >= 0)
    ids = table[rows, columns]
    keep = (words.counts[ids] <= 2 * _RARE_ROWS) & (np.char.str_len(words.vocabulary)[ids] >= 4)
    return pd.DataFrame({"row": rows[keep], "level": 9, "key": words.vocabulary[ids[keep]].astype(object)})
