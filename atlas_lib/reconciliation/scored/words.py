"""Free text as words: which words two texts share, how rare these are, and what only one of them says.

Two words agree when they are equal, or when one begins the other (a truncated memo, an initial). What agreement is
worth is its rarity: log2(texts / texts with such a word), in bits; of an initial, that of all words it begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

MOST_WORDS = 10  # of one text; the rarest are kept
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """The words of both sides' texts: ids are ranks in sorted order, so that a beginning is a range of ids.

    `left`, `right`: per text its words' ids, -1 where it has no more; `ends`: id after the last word that begins with
    this one; `bits`, `start_bits`: rarity of the word, and of any word that begins with it.
    """

    vocabulary: npt.NDArray[np.str_]
    ends: Ints
    bits: Floats
    start_bits: Floats
    counts: Ints
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]


def fold_texts(texts: pd.Series) -> pd.Series:
    """Upper-case ASCII words, one blank between them; missing text is empty."""
    from anyascii import anyascii

    known = texts.fillna("").astype("str")
    is_plain = known.map(str.isascii)
    folded = known.where(is_plain, known[~is_plain].map(anyascii))
    return folded.str.upper().str.replace(r"[^A-Z0-9]+", " ", regex=True).str.strip()


def read_words(left: pd.Series, right: pd.Series) -> Words:
    """Words of folded texts; rarity is taken over the texts of both sides."""
    said = pd.concat([_exploded(left, 0), _exploded(right, len(left))], ignore_index=True)
    vocabulary, ids = np.unique(said["word"].to_numpy(dtype=np.str_), return_inverse=True)
    rows = said["row"].to_numpy()
    counts = np.bincount(np.unique(np.column_stack([rows, ids]), axis=0)[:, 1], minlength=len(vocabulary))
    ends = np.searchsorted(vocabulary, np.char.add(vocabulary, "~")) if len(vocabulary) else counts
    texts = max(int((left != "").sum() + (right != "").sum()), 1)
    before = np.concatenate([[0], np.cumsum(counts)])
    starting = np.minimum(before[ends] - before[:-1], texts)
    bits = np.log2(texts / np.maximum(counts, 1))
    padded = _padded(rows, ids, bits, len(left) + len(right))
    return Words(
        vocabulary, ends, bits, np.log2(texts / np.maximum(starting, 1)), counts,
        padded[: len(left)], padded[len(left) :],
    )  # fmt: skip


def compare_words(words: Words, left_rows: Ints, right_rows: Ints) -> tuple[Floats, Floats, Floats]:
    """Bits that two texts share, bits that only the left says, bits that only the right says; per pair of rows."""
    ours, theirs = words.left[left_rows], words.right[right_rows]
    shared, ours_alone = np.zeros(len(ours)), np.zeros(len(ours))
    is_used = np.zeros(theirs.shape, dtype=bool)
    for column in range(ours.shape[1]):
        word = ours[:, column]
        is_found, best = np.zeros(len(ours), dtype=bool), np.zeros(len(ours))
        for other in range(theirs.shape[1]):
            agrees, worth = _agreement(words, word, theirs[:, other])
            is_found |= agrees
            is_used[:, other] |= agrees
            np.maximum(best, worth, out=best)
        shared += best
        ours_alone += np.where((word >= 0) & ~is_found, words.bits[word], 0.0) if len(words.bits) else 0.0
    theirs_alone = (
        np.where((theirs >= 0) & ~is_used, words.bits[theirs], 0.0).sum(axis=1) if len(words.bits) else shared
    )
    return shared, ours_alone, theirs_alone


def _agreement(
    words: Words, one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.bool_], Floats]:
    if not len(words.bits):
        return np.zeros(len(one), dtype=bool), np.zeros(len(one))
    is_known = (one >= 0) & (other >= 0)
    is_equal = is_known & (one == other)
    begins = is_known & (other > one) & (other < words.ends[one])
    is_begun = is_known & (one > other) & (one < words.ends[other])
    shorter = np.where(begins, one, other)
    worth = np.where(is_equal, words.bits[one], np.where(begins | is_begun, words.start_bits[shorter], 0.0))
    return is_equal | begins | is_begun, worth


def _exploded(texts: pd.Series, offset: int) -> pd.DataFrame:
    lists = texts.reset_index(drop=True).str.split()
    rows = np.repeat(np.arange(len(lists)), [len(words) for words in lists]) + offset
    said = pd.DataFrame({"row": rows, "word": [word for words in lists for word in words]})
    return said.astype({"word": "str"})


def _padded(rows: Ints, ids: Ints, bits: Floats, count: int) -> npt.NDArray[np.int32]:
    """One line per text; of a long text the rarest words, in the order of the text otherwise."""
    order = np.lexsort((ids, -bits[ids], rows)) if len(rows) else np.zeros(0, dtype=np.int64)
    starts = np.searchsorted(rows[order], rows[order])
    rank = np.empty(len(rows), dtype=np.int64)
    rank[order] = np.arange(len(rows)) - starts
    keep = rank < MOST_WORDS
    kept_rows, kept_ids = rows[keep], ids[keep]
    place = np.arange(len(kept_rows)) - np.searchsorted(kept_rows, kept_rows)
    table = np.full((count, int(place.max()) + 1 if len(place) else 1), -1, dtype=np.int32)
    table[kept_rows, place] = kept_ids
    return table
