"""Names of cells as Excel writes them."""

from __future__ import annotations


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
