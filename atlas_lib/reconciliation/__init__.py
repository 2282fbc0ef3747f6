"""05_reconciliation: our transactions against the bank's lines, proven complete, and what follows from it."""

from atlas_lib.reconciliation.breaks import find_breaks
from atlas_lib.reconciliation.bridges import bridge_accounts
from atlas_lib.reconciliation.carrying import add_carried, carry_forward, states_before
from atlas_lib.reconciliation.decisions import read_decisions
from atlas_lib.reconciliation.final_index import build_final_index, list_user_rows, read_index, write_index
from atlas_lib.reconciliation.matching import match_transactions
from atlas_lib.reconciliation.predecessor import run_before
from atlas_lib.reconciliation.reconcile import compare_settings, reconcile
from atlas_lib.reconciliation.summaries import (
    add_standing,
    age_breaks,
    bridge_steps,
    sum_breaks,
    sum_passes,
    worst_breaks,
)
from atlas_lib.reconciliation.verdict import (
    check_completeness,
    check_decisions,
    check_statements,
    summarise_stage,
    verdict_of,
)
from atlas_lib.reconciliation.views.compliance import judge_compliance, pending_compliance
from atlas_lib.reconciliation.views.daily import add_up_days, reconcile_days
from atlas_lib.reconciliation.views.due import list_due
from atlas_lib.reconciliation.views.merchants import (
    main_currency,
    merchant_performance,
    outstanding_merchants,
    rank_merchants,
    volumes_by_month,
)
from atlas_lib.reconciliation.views.spend import profile_spending, top_spenders
from atlas_lib.reconciliation.waterfalls import largest_payouts, waterfall_steps

__all__ = [
    "add_carried",
    "add_standing",
    "add_up_days",
    "age_breaks",
    "bridge_accounts",
    "bridge_steps",
    "build_final_index",
    "carry_forward",
    "check_completeness",
    "check_decisions",
    "check_statements",
    "compare_settings",
    "find_breaks",
    "judge_compliance",
    "largest_payouts",
    "list_due",
    "list_user_rows",
    "main_currency",
    "match_transactions",
    "merchant_performance",
    "outstanding_merchants",
    "pending_compliance",
    "profile_spending",
    "rank_merchants",
    "read_decisions",
    "read_index",
    "reconcile",
    "reconcile_days",
    "run_before",
    "states_before",
    "sum_breaks",
    "sum_passes",
    "summarise_stage",
    "top_spenders",
    "verdict_of",
    "volumes_by_month",
    "waterfall_steps",
    "worst_breaks",
    "write_index",
]
