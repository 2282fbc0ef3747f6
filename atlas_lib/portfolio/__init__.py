"""03_portfolio: when the book is repaid, what it earns, and whether every cent is accounted for."""
