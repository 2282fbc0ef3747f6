"""What 03_portfolio expects of cash: known flows, forecast, and how good it was."""

from atlas_lib.core.tables.schema import table

_STAGE = "03_portfolio"

_BOUNDS = "".join(
    f"{column}_{side}{level}_minor int? minor {word} bound of the {what} at {level} %; empty without enough history\n"
    for column, what in (("flow", "day's flow"), ("position", "position"))
    for level in (80, 90, 95)
    for side, word in (("low", "lower"), ("high", "upper"))
)

TABLES = [
    table(
        "known_flows",
        _STAGE,
        "currency flow_date source",
        "Cash flows that contracts, payouts and reserves say, per open day.",
        """
currency string - ISO 4217 code
flow_date date - open day; what falls on a closed day comes on the next
source string - instalments, payouts or reserve releases
in_minor int minor comes in
out_minor int minor goes out
item_count int count instalments, payouts or tranches
""",
    ),
    table(
        "liquidity_forecast",
        _STAGE,
        "currency flow_date",
        "Cash by open day: what is known, what is forecast, and the interval it is expected in.",
        """
currency string - ISO 4217 code
flow_date date - open day
known_minor int minor known flow, net; positive comes in
residual_minor int minor forecast of everything else; 0 without enough history
flow_minor int minor known + residual
position_minor int minor cash at the end of the day
known_position_minor int minor cash at the end of the day if only the known flows came
"""
        + _BOUNDS,
    ),
    table(
        "liquidity_outlook",
        _STAGE,
        "currency level_rate",
        "Lowest point of the forecast per level of confidence, and the day it may fall below the minimum balance.",
        """
currency string - ISO 4217 code
level_rate float rate level of the interval
opening_minor int? minor cash at the start of the as-of day; empty when the input gives none
minimum_balance_minor int? minor must stay on the account
lowest_minor int minor lowest position expected
lowest_date date - its day
lowest_low_minor int? minor lower bound of the lowest position
lowest_high_minor int? minor upper bound of the lowest position
crossing_date date? - first day whose lower bound (without an interval, the position itself) is below the minimum balance
shortfall_minor int? minor minimum balance - lowest lower bound, or lowest position
history_count int count open days of statements
model string - forecast in use: structural, exponential smoothing, seasonal naive, or none
status string - ok, alert, or insufficient history
remark string - why, in words; empty when ok
""",
    ),
    table(
        "forecast_accuracy",
        _STAGE,
        "currency model segment",
        "Backtest of the forecasts: every model, and the one that could have been chosen on each day.",
        """
currency string - ISO 4217 code
model string - structural, exponential smoothing, seasonal naive, or used (the choice of each day)
segment string - all, day 1 to the last, around holidays, or month ends
case_count int count forecasts compared
mase float? ratio mean absolute error / that of the seasonal naive in training; below 1 is better
mean_error_minor int? minor mean absolute error of a day
bias_minor int? minor mean of forecast - actual
is_converged bool - estimated without trouble; otherwise never used
is_used bool - chosen for the forecast
""",
    ),
    table(
        "forecast_backtest",
        _STAGE,
        "currency target segment level_rate",
        "Backtest of the intervals: how often they held, how wide they were.",
        """
currency string - ISO 4217 code
target string - daily, cumulative (position) or minimum (its lowest point)
segment string - all, day 1 to the last, around holidays, or month ends
level_rate float rate nominal level
case_count int count intervals tested
origin_count int count days they were made on
coverage_rate float rate share that held
coverage_low_rate float rate lower end of its 95 % confidence interval
coverage_high_rate float rate upper end
mean_width_minor int minor mean width
interval_score_minor int minor mean interval score; smaller is better
pinball_minor int minor mean pinball loss of both bounds; smaller is better
""",
    ),
]
