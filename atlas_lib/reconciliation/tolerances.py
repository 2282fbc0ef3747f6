"""Tolerance rules: by how much, and by how many days, the bank may differ from us, per pass and currency.

What `amount_tolerance_minor`, `days_before` and `days_after` say holds for every pass; the rules of the setting
`tolerances` change it, one after the other, each only in what it names:

```yaml
tolerances:
  - {match_pass: amount_date, currency: JPY, below_minor: 0, above_minor: 5}
  - {match_pass: reference, below_percent: 0.5, above_percent: 0}
  - {days_before: 0, days_after: 10}
```
An amount is within a rule when it is within its absolute or its relative part, whichever is the larger. `below` is
what the bank may book less than expected, `above` what it may book more. A pass that goes by a name or a group looks
at the days only where a rule says so. A sum that no name vouches for must be exact: of its rule only the days count.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.settings import MATCH_PASSES, ReconciliationSettings

ANY_DAY = 100_000
_BY_DATE = ("payout", "amount_date", "day_sum", "one_to_many", "many_to_many", "scored")
_DIGITS = range(1, 20)


def tolerance_table(settings: ReconciliationSettings, currencies: list[str]) -> pd.DataFrame:
    """One row per pass and currency: below_minor, above_minor, below_ppm, above_ppm, days_before, days_after."""
    rows = [_rule(settings, match_pass, currency) for match_pass in MATCH_PASSES for currency in currencies]
    return pd.DataFrame(rows).astype({c: "int64" for c in rows[0] if c not in ("match_pass", "currency")})


def _rule(settings: ReconciliationSettings, match_pass: str, currency: str) -> dict[str, str | int]:
    goes_by_date = match_pass in _BY_DATE
    held: dict[str, float] = {
        "below_minor": settings.amount_tolerance_minor,
        "above_minor": settings.amount_tolerance_minor,
        "below_percent": 0.0,
        "above_percent": 0.0,
        "days_before": settings.days_before if goes_by_date else ANY_DAY,
        "days_after": settings.days_after if goes_by_date else ANY_DAY,
    }
    for rule in settings.tolerances:
        if rule.match_pass in ("*", match_pass) and rule.currency in ("*", currency):
            held |= {name: value for name in held if (value := getattr(rule, name)) is not None}
    ppm = {f"{side}_ppm": round(held.pop(f"{side}_percent") * 10_000) for side in ("below", "above")}
    whole = {name: int(value) for name, value in (held | ppm).items()}
    return {"match_pass": match_pass, "currency": currency} | whole


def amount_scales(tolerances: pd.DataFrame) -> pd.DataFrame:
    """Width of the buckets in which amounts are compared: per currency and number of digits, more than any tolerance.

    Amounts of few digits share the scale in which the absolute tolerance is a tenth, so two amounts within the
    tolerance are at most one scale and one bucket apart (relative parts stay below 50 percent).
    """
    own = tolerances.query("match_pass == 'amount_date'").set_index("currency")
    rows = []
    for currency, rule in own.iterrows():
        absolute = max(rule["below_minor"], rule["above_minor"])
        ppm = max(rule["below_ppm"], rule["above_ppm"])
        least = len(str(absolute)) + 1
        for digits in _DIGITS:
            width = int(max(absolute, 10**digits * int(ppm) // 1_000_000) + 1)
            rows.append(
                {"currency": currency, "digits": digits, "scale": max(digits, least), "width": min(width, 2**62)}
            )
    table = pd.DataFrame(rows, columns=["currency", "digits", "scale", "width"])
    widest = table.groupby(["currency", "scale"])["width"].transform("max")
    return table.assign(width=widest)
