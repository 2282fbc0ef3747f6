"""Cash of the coming days per currency: what is known to flow, and a forecast with intervals for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from atlas_lib.core import calendars
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared
from atlas_lib.portfolio.backtest import LEVELS, Numbers, scores_needed
from atlas_lib.portfolio.forecast_scores import Backtest, run_backtest, score_intervals, score_models
from atlas_lib.portfolio.forecasting import Series, forecast_paths
from atlas_lib.portfolio.known_flows import open_days

_SEASON = 5
_STALE_DAYS = 5
_MOST_DAYS = 1_000  # what a bank account did four years ago says little, and estimating on it takes time
_TABLES = ("liquidity_forecast", "liquidity_outlook", "forecast_accuracy", "forecast_backtest")


def forecast_liquidity(
    statement_lines: pd.DataFrame,
    statement_balances: pd.DataFrame,
    liquidity: pd.DataFrame,
    known_flows: pd.DataFrame,
    settings: PortfolioSettings,
) -> dict[str, pd.DataFrame]:
    """Position of each currency by open day with intervals, its lowest point, alerts, and the backtest behind.

    residual = booked flow - known flow of the day, over the newest 1,000 open days up to the last closing
    balance; only the residual is forecast. position = cash at the start of the as-of day + what was booked and is due on it + flows since.
    Intervals are conformal, calibrated on rolling origins separately for the daily flow, the position and its
    lowest point. A level for which history does not suffice has no interval and says so. crossing_date is the
    first day on which the lower bound of the position (without an interval, the position itself) falls below the minimum balance.

    Parameters: statement_lines (key statement_id, line_id), statement_balances (key statement_id, balance_type),
    liquidity (key currency), known_flows (key currency, flow_date, source).
    Returns: liquidity_forecast (key currency, flow_date), liquidity_outlook (key currency, level_rate),
    forecast_accuracy (key currency, model, segment), forecast_backtest (key currency, target, segment, level_rate).
    """
    booked = statement_lines[statement_lines["status"] == "BOOK"]
    closed = statement_balances[statement_balances["balance_type"] == "CLBD"].groupby("currency")["balance_date"].max()
    names = sorted(set(liquidity["currency"]) | set(booked["currency"]) | set(known_flows["currency"]))
    made: dict[str, list[pd.DataFrame]] = {name: [] for name in _TABLES}
    for currency in names:
        account = _Account.of(currency, booked, closed, liquidity, known_flows, settings)
        found = _tested(account, settings)
        for name, frame in zip(_TABLES, (*_outlook(account, found, settings), *_scores(account, found)), strict=True):
            made[name].append(frame.assign(currency=currency))
    return {
        name: declared(name).shaped(pd.concat(parts, ignore_index=True))
        if (parts := [p for p in made[name] if len(p)])
        else declared(name).empty()
        for name in _TABLES
    }


@dataclass(frozen=True)
class _Account:
    """One currency: open days of history and horizon, booked and known flow of each, in minor units."""

    dates: calendars.Dates
    booked: Numbers
    known: Numbers
    payouts_today: int
    is_today_booked: bool
    gap: int
    opening: int | None
    minimum: int | None
    calendar: np.busdaycalendar

    @classmethod
    def of(
        cls, currency: str, booked: pd.DataFrame, closed: pd.Series, liquidity: pd.DataFrame, known_flows: pd.DataFrame,
        settings: PortfolioSettings,
    ) -> _Account:  # fmt: skip
        calendar, today = calendars.business_calendar(currency), np.datetime64(settings.as_of, "D")
        lines, known = (f[f["currency"] == currency] for f in (booked, known_flows))
        sign = np.where(lines["credit_debit_indicator"] == "CRDT", 1, -1)
        flow = (lines["amount_posted_minor"] * sign).groupby(open_days(lines["booking_date"], currency)).sum()
        flow = flow[flow.index <= pd.Timestamp(today)]
        first = _day(flow.index.min()) if len(flow) else today
        through = _day(max(flow.index.max(), closed.get(currency, flow.index.max()))) if len(flow) else today - 1
        through = min(through, today)
        start = np.busday_offset(np.maximum(through + 1, today), 0, roll="forward", busdaycal=calendar)
        gap = int(np.busday_count(through + 1, start, busdaycal=calendar))
        end = np.busday_offset(start, settings.forecast_days, busdaycal=calendar)
        dates = np.arange(first, end)
        dates = dates[np.is_busday(dates, busdaycal=calendar)]
        dates = dates[max(int((dates <= through).sum()) - _MOST_DAYS, 0) :]
        daily = flow.reindex(dates[dates <= through]).fillna(0).to_numpy(np.float64)
        net = (known["in_minor"] - known["out_minor"]).groupby(known["flow_date"]).sum()
        planned = known[(known["flow_date"] == pd.Timestamp(today)) & (known["source"] == "payouts")]
        cash = liquidity[liquidity["currency"] == currency]
        return cls(
            dates=dates, booked=daily, known=net.reindex(dates).fillna(0).to_numpy(np.float64),
            payouts_today=int(planned["out_minor"].sum()), is_today_booked=bool(through >= today), gap=gap,
            opening=int(cash["opening_balance_minor"].iloc[0]) if len(cash) else None,
            minimum=int(cash["minimum_balance_minor"].iloc[0]) if len(cash) else None, calendar=calendar,
        )  # fmt: skip

    @property
    def start(self) -> int:
        """Cash before the first day of the forecast; zero where the opening balance is not known."""
        today = int(self.booked[-1]) - self.payouts_today if self.is_today_booked else 0
        return (self.opening or 0) + today

    @property
    def future(self) -> slice:
        return slice(len(self.booked) + self.gap, None)


def _tested(account: _Account, settings: PortfolioSettings) -> Backtest | None:
    """The backtest, or nothing where history does not reach for a single interval."""
    if _lack(account, settings, min(LEVELS)):
        return None
    past = account.known[: len(account.booked)] if settings.is_known_in_statements else 0.0
    horizon = settings.forecast_days + account.gap
    series = Series(account.dates, account.booked - past, account.calendar, _SEASON, horizon)
    return run_backtest(series, settings.forecast_training_days)


def _lack(account: _Account, settings: PortfolioSettings, level: float) -> str:
    """What is missing for an interval at this level, in words; empty when nothing is."""
    have, horizon = len(account.booked), settings.forecast_days + account.gap
    needed = settings.forecast_training_days + horizon + scores_needed(level) - 1
    if have == 0:
        return "no bank statement lines"
    if account.gap > _STALE_DAYS:
        return f"statements end {account.gap} open days ago"
    if have < needed:
        return f"{have} of {needed} open days needed for the {level:.0%} interval".replace("%", " %")
    return "" if account.booked.any() else "no flow on any day"


def _outlook(
    account: _Account, found: Backtest | None, settings: PortfolioSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    known, shown = account.known[account.future], account.dates[account.future]
    residual, widths, model = np.zeros(len(shown)), {}, "none"
    if found is not None:
        model, window = found.next_model, slice(account.gap, None)
        paths = forecast_paths(found.series, np.array([len(account.booked)]))
        usable = [p for p in paths if p.model == model and p.is_converged] or [p for p in paths if p.is_converged][:1]
        residual, model = usable[0].forecast[0, window], usable[0].model
        widths = _widths(found, account)
    flow = np.rint(known + residual)
    position = account.start + flow.cumsum()
    forecast = pd.DataFrame({
        "flow_date": shown, "known_minor": known, "residual_minor": flow - known, "flow_minor": flow,
        "position_minor": position, "known_position_minor": account.start + known.cumsum(),
    })  # fmt: skip
    rows = []
    for level in LEVELS:
        half = {t: widths.get((t, level)) for t in ("daily", "cumulative", "minimum")}
        name = f"{level:.0%}".rstrip("%")
        for target, column, centre in (("daily", "flow", flow), ("cumulative", "position", position)):
            forecast[f"{column}_low{name}_minor"], forecast[f"{column}_high{name}_minor"] = _bounds(
                centre, half[target]
            )
        rows.append(_level_row(account, settings, level, position, half, shown) | {"model": model})
    return forecast, pd.DataFrame(rows)


def _widths(found: Backtest, account: _Account) -> dict[tuple[str, float], Numbers]:
    """Half widths over the days shown: errors before them, on days already in the opening balance, do not count."""
    window = slice(account.gap, None)
    day = found.origins[:, None] + np.arange(found.series.horizon)
    shown = Backtest(
        found.series, found.origins, [p.only(window) for p in found.paths], found.actual[:, window], found.chosen
    )
    return shown.widths(account.known[day][:, window])


def _bounds(centre: Numbers, half: Numbers | None) -> tuple[pd.Series, pd.Series]:
    if half is None or np.isnan(half).any():
        empty = pd.Series(pd.NA, index=range(len(centre)), dtype="Int64")
        return empty, empty
    return tuple(pd.Series(np.rint(centre + s * half).astype(np.int64), dtype="Int64") for s in (-1, 1))  # type: ignore[return-value]


def _level_row(
    account: _Account, settings: PortfolioSettings, level: float, position: Numbers, half: dict[str, Numbers | None],
    shown: calendars.Dates,
) -> dict[str, object]:  # fmt: skip
    lack = _lack(account, settings, level)
    lowest = float(position.min())
    row: dict[str, object] = {
        "level_rate": level, "opening_minor": account.opening, "minimum_balance_minor": account.minimum,
        "lowest_minor": int(lowest), "lowest_date": shown[int(position.argmin())], "lowest_low_minor": None,
        "lowest_high_minor": None, "crossing_date": None, "shortfall_minor": None, "history_count": len(account.booked),
        "status": "insufficient history" if lack else "ok", "remark": lack,
    }  # fmt: skip
    if lack or half["minimum"] is None or half["cumulative"] is None:
        return row | _known_crossing(account, position, shown, lack)
    reach = float(half["minimum"][0])
    row |= {"lowest_low_minor": round(lowest - reach), "lowest_high_minor": round(lowest + reach)}
    below = np.rint(position - half["cumulative"]) < (account.minimum if account.minimum is not None else -np.inf)
    if below.any():
        worst = np.rint(position - half["cumulative"]).min()
        row |= {
            "status": "alert",
            "crossing_date": shown[int(below.argmax())],
            "shortfall_minor": int((account.minimum or 0) - worst),
        }
        row["remark"] = "may fall below its minimum"
    elif account.opening is None:
        row["remark"] = "no opening balance: positions are changes from today"
    return row


def _known_crossing(account: _Account, position: Numbers, shown: calendars.Dates, lack: str) -> dict[str, object]:
    """Where there is no interval: an alert if the expected position itself falls below the minimum."""
    below = position < (account.minimum if account.minimum is not None else -np.inf)
    if not below.any():
        return {}
    told = "expected to fall below its minimum"
    return {
        "status": "alert", "crossing_date": shown[int(below.argmax())],
        "shortfall_minor": int((account.minimum or 0) - position.min()), "remark": f"{told}; {lack}" if lack else told,
    }  # fmt: skip


def _scores(account: _Account, found: Backtest | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    if found is None:
        return pd.DataFrame(), pd.DataFrame()
    known = account.known[found.origins[:, None] + np.arange(found.series.horizon)]
    models = score_models(found)
    models = models.assign(is_used=models["model"] == found.next_model)
    return _in_whole_units(models), _in_whole_units(score_intervals(found, known))


def _in_whole_units(frame: pd.DataFrame) -> pd.DataFrame:
    amounts = [str(c) for c in frame if str(c).endswith("_minor")]
    return frame.assign(**{c: frame[c].round() for c in amounts})


def _day(instant: pd.Timestamp) -> np.datetime64:
    return np.datetime64(instant, "D")
