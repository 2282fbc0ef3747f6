"""Where a cell or a row stands, as a person finds it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def number_entries(lines: pd.Index) -> NDArray[np.int64]:
    """Which of the rows on its line of the file each is, from 1; 0 where it stands alone, nothing where all do.

    A bank may write a statement without any line break.
    """
    if lines.is_monotonic_increasing and lines.is_unique:  # the first look tells the second
        return np.empty(0, dtype=np.int64)
    numbers = pd.Series(lines).groupby(np.asarray(lines)).cumcount() + 1
    return np.where(lines.duplicated(keep=False), numbers, 0)


def cell_position(place: str) -> tuple[int, int]:
    """`cell_position("P2") == (1, 15)`: row and column counted from 0."""
    letters = place.rstrip("0123456789")
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return int(place[len(letters) :]) - 1, column - 1


def column_letter(position: int) -> str:
    """0 is A, 25 is Z, 26 is AA."""
    letters = ""
    number = position + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
