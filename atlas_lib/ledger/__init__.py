"""The ledger: append-only events with double-entry transfers, hash-chained, each append once."""
