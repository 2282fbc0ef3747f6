"""How numbers of things are said."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 contract`, `2 contracts`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
