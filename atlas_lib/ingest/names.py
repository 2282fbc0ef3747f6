"""Names made comparable, and how alike two of them are.

A name is folded: any script to Latin letters (a Chinese family name set apart), no case, accents or punctuation, no legal
form, single letters joined, words in alphabetical order. Its sound is the folded name without vowels and with letters
that transliterations mix up made one (Mohammed, Muhammad, Mohamed: mhmd).

likeness (0 to 100) = the largest of
    ratio of the folded names,
    0.25 x that ratio + 0.75 x the ratio of the sounds,
    for two words or more on both sides: the ratio over the common words x (0.75 + 0.25 x shorter / longer)
but not more than halfway to the likeness of what is left without the words that many listed names share. A ratio is
100 x (1 - insertions and deletions / letters of both); a sound counts from four letters on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMS = (
    "ltd limited llc llp inc incorporated corp corporation co company plc gmbh mbh ag kg ohg ug ev eg sa sas sarl srl spa snc sl slu "
    "bv nv cv oy oyj ab as asa aps sro zrt kft doo dd jsc ojsc cjsc pjsc ooo oao zao pao ao est fze fzco fzc fzllc pte pty sdn bhd pt "
    "tbk cv ltda eireli cia and und et the of"
).split()
_LONG_FORMS = (
    "(?:public |open |closed |private )?joint stock company", "limited liability (?:company|partnership)", "private limited",
    "(?:publichnoe |otkrytoe |zakrytoe |nepublichnoe )?aktsionernoe obshchestvo", "obshchestvo s ogranichennoi otvetstvennostyu",
    "aktiengesellschaft", "gesellschaft mit beschrae?nkter haftung", "societe anonyme", "societe a responsabilite limitee",
    "sociedad anonima(?: de capital variable)?", "sociedad (?:de responsabilidad limitada|limitada)", "societa per azioni",
)  # fmt: skip
_WORD = re.compile(rf"\b(?:{'|'.join(_FORMS)})\b")
_LONG_FORM = re.compile(rf"\b(?:{'|'.join(_LONG_FORMS)})\b")
_HAN_FAMILY = re.compile(r"^([\u3400-\u9fff])(?=[\u3400-\u9fff]{1,3}$)")  # the first character, written without a space
# What transliterations write in several ways; applied in this order to folded names.
_SOUNDS = [
    (r"kh", "h"), (r"(?:dzh|sch|tch|ch|sh|zh|dj)", "j"), (r"(?:ph|v|w)", "f"), (r"ks", "s"), (r"(?:gh|q|ck|c|k|g)", "k"),
    (r"(?:ts|tz|z|x)", "s"), (r"(?:dh|th|d|t)", "t"), (r"(?:\bal|\bel|\bul)\s", ""), (r"[aeiouy]", ""), (r"(.)\1+", r"\1"), (r"\s+", " "),
]  # fmt: skip
_UMLAUTS = {
    "ä": "ae",
    "ö": "oe",
    "ü": "ue",
    "Ä": "Ae",
    "Ö": "Oe",
    "Ü": "Ue",
    "ø": "oe",
    "Ø": "Oe",
    "å": "aa",
    "Å": "Aa",
}


def fold_names(names: pd.Series) -> pd.Series:
    """`"Ölüdeniz-Handels GmbH"` to `"handels oludeniz"`; a name of legal forms alone keeps them."""
    latin = to_latin(names).str.lower().str.replace(r"['`´’]", "", regex=True)
    words = latin.str.replace(r"[^a-z0-9]+", " ", regex=True).str.strip()
    words = words.str.replace(r"\b(\w)\s(?=\w\b)", r"\1", regex=True)
    plain = words.str.replace(_WORD, " ", regex=True).str.split().str.join(" ")
    return _sorted_words(plain.where(plain != "", words))


def spellings(names: pd.Series) -> pd.DataFrame:
    """Folded spellings of each name (columns position, folded).

    With umlauts as one letter and, where there are any, as two; where a legal form is written out, without it too.
    """
    frame = pd.DataFrame({"position": np.arange(len(names)), "name": names.to_numpy()})
    wide = frame[frame["name"].str.contains("|".join(_UMLAUTS), regex=True)]
    wide = wide.assign(name=wide["name"].replace({k: v for k, v in _UMLAUTS.items()}, regex=True))
    latin = frame.assign(name=to_latin(frame["name"]).str.lower())
    short = latin[latin["name"].str.contains(_LONG_FORM)]
    short = short.assign(name=short["name"].str.replace(_LONG_FORM, " ", regex=True))
    every = pd.concat([part for part in (frame, wide, short) if len(part)] or [frame], ignore_index=True)
    folded = pd.DataFrame({"position": every["position"], "folded": fold_names(every["name"])}).drop_duplicates()
    return folded[folded["folded"] != ""]  # two names without a letter are not alike


def to_latin(names: pd.Series) -> pd.Series:
    """Any script to ASCII letters; names that are ASCII already are left as they are."""
    from anyascii import anyascii

    is_ascii = names.map(str.isascii).astype(bool)
    others = names.where(~is_ascii, "").map(lambda name: anyascii(_HAN_FAMILY.sub(r"\1 ", name)))
    return names.where(is_ascii, others).astype("str")


def sounds(folded: pd.Series) -> pd.Series:
    """`"husayn muhammad"` to `"hsn mhmt"`."""
    out = folded
    for pattern, written in _SOUNDS:
        out = out.str.replace(pattern, written, regex=True)
    return _sorted_words(out.str.strip())


def _sorted_words(names: pd.Series) -> pd.Series:
    return names.map(lambda name: " ".join(sorted(set(name.split())))).astype("str")


@dataclass(frozen=True)
class NameList:
    """Folded names with their sounds, and without the words that many of them share."""

    folded: pd.Series
    sounds: pd.Series
    own_words: pd.Series

    @classmethod
    def of(cls, folded: pd.Series, common: frozenset[str]) -> NameList:
        own = folded.map(lambda name: " ".join(w for w in name.split() if w not in common)).astype("str")
        return cls(folded.reset_index(drop=True), sounds(folded).reset_index(drop=True), own.reset_index(drop=True))


def common_words(folded: pd.Series) -> frozenset[str]:
    """Words in at least 20 of the names and 1 in 500: `international`, `mohammed`."""
    counts = folded.str.split().explode().value_counts()
    return frozenset(counts.index[counts >= max(20, len(folded) // 500)])


def find_alike(asked: pd.Series, listed: pd.Series, cutoff: float) -> pd.DataFrame:
    """Pairs of folded names with likeness >= cutoff: columns asked, listed (positions) and likeness, best first.

    Every name is compared with every name, a block of the asked ones at a time; what the two cheap ratios leave
    possible is compared further.
    """
    common = common_words(listed)
    whole = NameList.of(listed, common)
    parts = []
    for start in range(0, len(asked), _BLOCK):
        block = NameList.of(asked.iloc[start : start + _BLOCK], common)
        rows, columns = _possible(block, whole, cutoff)
        likeness = _likeness(block, rows, whole, columns)
        kept = likeness >= cutoff
        parts.append(
            pd.DataFrame(
                {"asked": rows[kept] + start, "listed": columns[kept], "likeness": np.round(likeness[kept], 2)}
            )
        )
    found = pd.concat(
        [pd.DataFrame({"asked": [0], "listed": [0], "likeness": [0.0]}).iloc[:0], *parts], ignore_index=True
    )
    return found.sort_values(["asked", "likeness", "listed"], ascending=[True, False, True], ignore_index=True)


_BLOCK = 2000
_POSSIBLE = 60  # a ratio below it leaves no likeness of use: half the letters of the longer name would be others
_WRITTEN, _SPOKEN = 0.25, 0.75
_SHORT_SOUND = 4  # letters; a shorter sound says too little


def _possible(asked: NameList, listed: NameList, cutoff: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    written = _ratios(asked.folded, listed.folded)
    spoken = _ratios(asked.sounds, listed.sounds)
    highest = _WRITTEN * 100 + _SPOKEN * spoken.astype(np.float32)
    rows, columns = np.nonzero((written > 0) | ((spoken > 0) & (highest >= cutoff)))
    return rows, columns


def _ratios(asked: pd.Series, listed: pd.Series) -> NDArray[np.uint8]:
    """Percent, 0 where below what leaves a likeness of use."""
    from rapidfuzz import fuzz, process

    ratios: NDArray[np.uint8] = process.cdist(
        asked.tolist(), listed.tolist(), scorer=fuzz.ratio, score_cutoff=_POSSIBLE, dtype=np.uint8
    )
    return ratios


def _likeness(
    asked: NameList, rows: NDArray[np.int64], listed: NameList, columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of the whole names, or halfway to that of their own words where these are less alike."""
    whole = _compare(
        asked.folded.iloc[rows], listed.folded.iloc[columns], asked.sounds.iloc[rows], listed.sounds.iloc[columns], 2
    )
    mine, theirs = asked.own_words.iloc[rows], listed.own_words.iloc[columns]
    own = _compare(mine, theirs, sounds(mine), sounds(theirs), 1)
    is_common = (mine == "").to_numpy() & (theirs == "").to_numpy()
    return np.where(is_common, whole, np.minimum(whole, (whole + own) / 2))


def _compare(
    asked: pd.Series, listed: pd.Series, asked_sounds: pd.Series, listed_sounds: pd.Series, least_words: int
) -> NDArray[np.float64]:
    """The largest of the three ratios, pair by pair."""
    from rapidfuzz import fuzz, process

    pairs = asked.tolist(), listed.tolist()
    written = process.cpdist(*pairs, scorer=fuzz.ratio, dtype=np.float64)
    spoken = process.cpdist(asked_sounds.tolist(), listed_sounds.tolist(), scorer=fuzz.ratio, dtype=np.float64)
    shorter_sound = np.minimum(asked_sounds.str.len().to_numpy(), listed_sounds.str.len().to_numpy())
    mixed = np.where(shorter_sound >= _SHORT_SOUND, _WRITTEN * written + _SPOKEN * spoken, 0.0)
    common = process.cpdist(*pairs, scorer=fuzz.token_set_ratio, dtype=np.float64)
    lengths = np.stack([asked.str.len().to_numpy(), listed.str.len().to_numpy()])
    share = lengths.min(axis=0) / np.maximum(lengths.max(axis=0), 1)
    words = np.minimum(asked.str.count(" ").to_numpy(), listed.str.count(" ").to_numpy()) + 1
    held = np.where(words >= least_words, common * (0.75 + 0.25 * share), 0.0)
    return np.asarray(np.maximum.reduce([written, mixed, held]), dtype=np.float64)
