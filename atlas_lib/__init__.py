"""Atlas Settlement: the helper package behind the five notebooks, one room per notebook."""

__version__ = "0.1.0"
