"""Frozen settings, one model per notebook: what may be changed, in which unit, with which default.

A notebook's `parameters` cell holds the same names as plain scalars. An unknown name is refused.
Secrets and database addresses are never settings: they come from the environment where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from atlas_lib.core.setting_kinds import CommitService, Currency, TimeOfDay


class StageSettings(BaseModel):
    """What every notebook takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def chosen_in(cls, parameters: Mapping[str, Any]) -> Self:
        """The settings that a notebook's parameters cell holds: `PortfolioSettings.chosen_in(globals())`."""
        from atlas_lib.core.given_settings import checked_settings

        return checked_settings(cls, {name: parameters[name] for name in cls.model_fields}, "the parameters cell")

    as_of: date = Field(
        date(2026, 10, 30), description="day the figures stand for; the default is that of example_data"
    )
    engine: Literal["duckdb", "spark"] = Field("duckdb", description="engine of the set-based work")
    rounding: Literal["half_even", "half_up"] = Field("half_even", description="how half a minor unit is rounded")


class IngestSettings(StageSettings):
    default_currency: Currency = Field("EUR", description="currency of amounts whose sheet has no currency column")
    max_reject_rate: float = Field(0.2, ge=0, le=1, description="share of refused rows above which the run stops")
    max_amount: float = Field(50_000_000.0, gt=0, description="units of currency; a larger amount is refused")
    decimal_mark: Literal["auto", ".", ","] = Field(
        "auto", description="decimal mark of amounts typed as text; auto refuses what can be read in two ways"
    )
    max_file_mb: int = Field(
        1024,
        ge=1,
        description="megabytes of one input file, packed or unpacked; a larger one is refused before reading",
    )
    idempotency_ttl_hours: int = Field(24, ge=1, description="hours during which a repeated key is a duplicate")
    fraud_review_rate: float = Field(0.7, ge=0, le=1, description="fraud score from which a transaction is reviewed")
    fraud_precision_rate: float = Field(
        0.5, gt=0, le=1, description="share of fraud among the alerts at which their number a day is shown"
    )
    sanctions_match_rate: float = Field(
        0.88, ge=0.6, le=1, description="likeness from which a name counts as one of the sanctions list"
    )


class ReservesCreditSettings(StageSettings):
    default_credit_limit: float = Field(
        250_000.0, ge=0, description="units of currency; for a merchant whose input gives no limit"
    )
    exposure_basis: Literal["receivables", "gross", "funded", "effective"] = Field(
        "receivables", description="exposure that is measured against limit and capital"
    )
    watch_rate: float = Field(0.8, gt=0, description="share of the limit from which an exposure is watched")
    warn_rate: float = Field(0.9, gt=0, description="share of the limit from which an exposure is warned of")
    breach_rate: float = Field(1.0, gt=0, description="share of the limit above which an exposure is a breach")
    reporting_currency: Currency = Field("EUR", description="currency the concentration of the whole book is shown in")
    own_capital: float = Field(
        2_000_000.0, gt=0, description="units of the reporting currency; base of the large-exposure marks"
    )
    large_exposure_rate: float = Field(0.1, gt=0, description="share of own capital from which an exposure is large")
    max_exposure_rate: float = Field(0.25, gt=0, description="share of own capital from which it is too large")
    reserve_percent: float = Field(10.0, ge=0, le=100, description="percent of sales held as rolling reserve")
    reserve_base: Literal["gross", "net_of_fees"] = Field(
        "net_of_fees", description="sales the rolling reserve is a share of"
    )
    hold_days: int = Field(90, ge=3, le=180, description="calendar days a rolling reserve is held")
    review_score: float = Field(0.7, ge=0, le=1, description="fraud score from which a sale is under review")
    review_share_rate: float = Field(
        0.1, ge=0, le=1, description="share of a merchant's sales under review above which its payout waits"
    )
    stale_after_days: int = Field(45, ge=0, description="age of the newest record above which the input is stale")
    other_limits: str = Field(
        "",
        description="limits beside the merchants': `scope subject currency amount; ...` with scope obligor, counterparty or currency, * for every subject",
    )
    ineligible_after_days: int = Field(90, ge=0, description="days unpaid after which a receivable is ineligible")
    cross_ageing_rate: float = Field(
        0.1, ge=0, le=1, description="share of old receivables above which all of a merchant's are ineligible"
    )
    concentration_cap_rate: float = Field(
        0.2, gt=0, le=1, description="share of all receivables above which a merchant's are excess"
    )
    advance_rate: float = Field(0.85, ge=0, le=1, description="share of eligible receivables a funder advances")
    four_eyes_amount: float = Field(
        10_000.0, ge=0, description="EUR in payment files of one execution date from which a second person must approve"
    )
    debtor_name: str = Field("", max_length=140, description="owner of the account payouts are paid from")
    debtor_iban: str = Field("", max_length=42, description="that account; without it no payment file is written")
    debtor_bic: str = Field("", max_length=11, description="its bank; may stay empty within SEPA")
    debtor_town: str = Field("", max_length=35, description="town of its owner")
    debtor_country: str = Field("", max_length=2, description="ISO 3166 code of its owner's country")


class PortfolioSettings(StageSettings):
    annual_rate: float = Field(0.07, ge=0, le=1, description="yearly interest rate of the projection (0.07 = 7 %)")
    schedule_type: Literal["linear", "annuity", "interest_only", "bullet", "balloon"] = Field(
        "linear", description="how principal is repaid"
    )
    balloon_rate: float = Field(
        0.3, ge=0, le=1, description="share of the principal repaid with the last instalment of a balloon schedule"
    )
    day_count: Literal["months", "30/360", "30E/360", "ACT/360", "ACT/365F", "ACT/ACT ISDA"] = Field(
        "months", description="how long an interest period is; months: every whole month is one twelfth of a year"
    )
    first_due_day: int = Field(
        0, ge=0, le=31, description="day of the month on which instalments fall due; 0 is the start date's own day"
    )
    first_period: Literal["short", "long"] = Field(
        "short", description="with a first_due_day: whether the first period is shorter or longer than a month"
    )
    business_day_rule: Literal["modifiedfollowing", "following", "preceding", "unadjusted"] = Field(
        "modifiedfollowing", description="where a payment goes that would fall due on a closed day"
    )
    scenarios: str = Field(
        "base: 4 CPR, 2 CDR, severity 45, lag 12, shift 0; "
        "stress: 2 CPR, 6 CDR, severity 55, lag 18, shift +1; "
        "severe: 1 CPR, 12 CDR, severity 65, lag 24, shift +2",
        description="prepayment and default in percent (CPR, SMM or PSA; CDR, MDR or SDA, month by month as 1/2/3), "
        "severity in percent, recovery lag in months, rate shift in percentage points",
    )
    pd_by_risk: str = Field(
        "LOW 1; MEDIUM 2; HIGH 5; UNRATED 3", description="percent of contracts defaulting in a year, by risk level"
    )
    lgd_rate: float = Field(0.45, ge=0, le=1, description="share of the exposure lost in a default")
    provision_rates: str = Field(
        "0.3; 1.6; 3.6; 6.6; 10.6", description="percent provided for: not past due, 1-30, 31-60, 61-90, over 90 days"
    )
    default_correlation: float = Field(
        0.12, ge=0, lt=1, description="share of a contract's risk that the whole book has in common"
    )
    merchant_correlation: float = Field(
        0.08, ge=0, lt=1, description="further share that contracts of one merchant have in common"
    )
    loss_draw_count: int = Field(20_000, ge=1_000, description="simulated years of the loss distribution")
    loss_seed: int = Field(7, description="seed of that simulation: same seed, same figures")
    forecast_days: int = Field(10, ge=1, le=60, description="open days of the liquidity forecast")
    forecast_training_days: int = Field(
        60, ge=20, description="open days of statements a forecast model learns from at least"
    )
    is_known_in_statements: bool = Field(
        True, description="instalments and releases are booked on these statements, so past ones are no residual"
    )


class BatchingSettlementSettings(StageSettings):
    settle_since_days: int = Field(
        90, ge=1, description="calendar days back from as_of; an open transaction made earlier is not settled by itself"
    )
    cut_off_time: TimeOfDay = Field("17:00", description="CET time of day from which a payment counts for the next day")
    wire_cost: float = Field(5.0, ge=0, description="EUR per wire")
    consolidation_discount_rate: float = Field(
        0.15, ge=0, le=1, description="off a wire that carries more than one transaction"
    )
    fx_spreads: str = Field(
        "USD-EUR 2.5; USD-GBP 3.0; USD-JPY 2.0; EUR-GBP 2.0; other 5.0", description="spread per currency pair in bps"
    )
    deferral_cost: float = Field(
        10.0, ge=0, description="EUR of leaving a transaction unsettled, in the plan only; at least wire_cost"
    )
    priorities: str = Field(
        "", description="how many times leaving a type of transaction unsettled counts, as PAYOUT 3; REFUND 2"
    )
    max_batch_count: int = Field(1000, ge=1, le=1000, description="transactions in one batch, at most")
    solver_seconds: int = Field(
        20, ge=1, description="seconds a solver call may take; a search keeps its best plan so far"
    )
    solver_nodes: int = Field(
        10_000, ge=1, description="nodes a whole-number search may open; it keeps its best plan so far"
    )
    solver_gap_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of the cost that the plan may lie above its proven bound without a search, up to 10,000 payments; down to a tenth of it for 100,000 and more",
    )
    commit_service: CommitService = Field(
        "local",
        description="who commits batches: local (the ledger store, no replication), or etcd://host:port,host:port,host:port",
    )
    rail: Literal["simulated", "sepa"] = Field(
        "simulated", description="what carries the payments: a simulation, or pain.001 files for the bank"
    )
    sepa_accounts_path: str = Field(
        "", description="CSV file of the accounts paid from and to: account, name, iban, bic, town, country"
    )
    rail_down: str = Field("", description="counterparties that the simulated rail never reaches, as CP-01 CP-02")
    rail_seed: int = Field(1, description="seed of the simulated rail's failures")
    rail_failure_rate: float = Field(0.05, ge=0, le=1, description="share of simulated attempts that fail")
    retry_schedule: str = Field(
        "0, 5, 15, 31", description="seconds after the first attempt at which it is tried again"
    )
    breaker_failure_count: int = Field(
        5,
        ge=0,
        description="sends in a row that a counterparty does not answer, after which it is left alone; 0: never",
    )
    breaker_pause_seconds: int = Field(
        10, ge=1, description="seconds it is left alone, before one payment tries whether it answers again"
    )


MATCH_PASSES = (
    "reference", "split", "merge", "payout", "amount_date", "day_sum", "one_to_many", "many_to_many", "scored",
)  # fmt: skip


class ToleranceRule(BaseModel):
    """One rule of the setting `tolerances`; what it does not name stays as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match_pass: Literal[
        "*", "reference", "split", "merge", "payout", "amount_date", "day_sum", "one_to_many", "many_to_many", "scored"
    ] = Field("*", description="pass it holds for; * is every pass")
    currency: str = Field("*", description="currency it holds for; * is every currency")
    below_minor: int | None = Field(None, ge=0, description="minor units that the bank may book less")
    above_minor: int | None = Field(None, ge=0, description="minor units that the bank may book more")
    below_percent: float | None = Field(None, ge=0, lt=50, description="percent of the amount that it may book less")
    above_percent: float | None = Field(None, ge=0, lt=50, description="percent of the amount that it may book more")
    days_before: int | None = Field(None, ge=0, description="days the line may be booked before the payment")
    days_after: int | None = Field(None, ge=0, description="days the line may be booked after it")


class ReconciliationSettings(StageSettings):
    days_before: int = Field(1, ge=0, description="days a bank line may be booked before the transaction")
    days_after: int = Field(7, ge=0, description="days a bank line may be booked after it; until then it is pending")
    amount_tolerance_minor: int = Field(2, ge=0, description="minor units by which a matched amount may differ")
    tolerances: tuple[ToleranceRule, ...] = Field(
        (), description="rules per pass and currency that change these three; see docs/reconciliation.md"
    )
    fx_tolerance_bps: float = Field(50.0, ge=0, description="bps by which a converted amount may differ")
    agreed_fee_bps: float = Field(0.0, ge=0, description="bps of a sale the bank may keep; anything else is a variance")
    part_payment_rate: float = Field(
        0.25, ge=0, le=1, description="share of a payment whose lack means a part is missing"
    )
    cut_off_hour: int = Field(16, ge=0, le=24, description="hour (UTC) from which a payment counts for the next day")
    late_after_days: int = Field(3, ge=0, description="open banking days after which a posting counts as late")
    min_margin_rate: float = Field(0.05, ge=0, le=1, description="score margin over the rival; below it is suggested")
    auto_precision: float = Field(
        0.995, gt=0.5, lt=1, description="share of the scored pairs matched without a person that must be right"
    )
    suggest_precision: float = Field(
        0.97, gt=0.5, lt=1, description="share of the scored pairs matched or suggested as likely that must be right"
    )
    most_candidates: int = Field(
        16,
        ge=2,
        le=20,
        description="open rows among which a sum is searched; where there are more, none is, and it says so",
    )
    most_parts: int = Field(4, ge=2, le=6, description="rows of a side that one_to_many and many_to_many may add up")
    look_back_days: int = Field(
        30, ge=0, description="days back in whose runs a settled payment is still known when a line names it again"
    )
    medium_break_amount: float = Field(100.0, ge=0, description="units of currency from which a break is medium")
    high_break_amount: float = Field(1_000.0, ge=0, description="units of currency from which a break is high")
    risk_medium_rate: float = Field(0.4, ge=0, le=1, description="fraud score from which the risk label is MEDIUM")
    risk_high_rate: float = Field(0.7, ge=0, le=1, description="fraud score from which the risk label is HIGH")
    large_purchase_spread_ratio: float = Field(
        5.0, gt=0, description="spreads above the typical purchase, by factors, that are an anomaly"
    )
    anomaly_spread_ratio: float = Field(8.0, gt=0, description="spreads above the usual week that are an anomaly")


STAGES: dict[str, type[StageSettings]] = {
    "01_ingest": IngestSettings,
    "02_reserves_credit": ReservesCreditSettings,
    "03_portfolio": PortfolioSettings,
    "04_batching_settlement": BatchingSettlementSettings,
    "05_reconciliation": ReconciliationSettings,
}


def changed_values(settings: StageSettings) -> dict[str, Any]:
    """What a person changed: the values that differ from the defaults."""
    fields = type(settings).model_fields
    return {
        name: value
        for name, value in settings.model_dump(mode="json").items()
        if getattr(settings, name) != fields[name].default
    }
