"""Bank statements and processor reports to raw sheets of `statement_lines` and `statement_balances`."""
