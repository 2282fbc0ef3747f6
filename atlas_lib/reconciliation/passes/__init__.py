"""The passes of the matching, most certain first: what each takes, suggests and leaves (docs/reconciliation.md)."""
