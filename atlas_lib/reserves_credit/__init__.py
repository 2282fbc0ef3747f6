"""Payouts, reserves, exposure and sub-accounts of purchased contracts: what 02_reserves_credit computes."""
