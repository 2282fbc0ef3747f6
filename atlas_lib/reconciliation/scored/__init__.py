"""The scored pass: candidate pairs, their weights, and the best assignment of the whole (docs/matching.md)."""
