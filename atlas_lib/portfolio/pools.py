"""Assumptions on prepayment, default and recovery, and what a pool of loans does under them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from atlas_lib.core.errors import SettingsError

Numbers = NDArray[np.float64]

_PSA_RAMP_MONTHS, _PSA_LEVEL = 30, 0.06
_FLOWS = ["scheduled", "prepaid", "defaulted", "recovered", "loss"]
_ENTRY = re.compile(
    r"^(?P<name>[\w -]+?): *(?P<cpr>[\d.]+) *(?P<cpr_kind>CPR|PSA|SMM), *(?P<cdr>[\d./]+) *(?P<cdr_kind>CDR|SDA|MDR), *"
    r"severity (?P<severity>[\d.]+), *lag (?P<lag>\d+), *shift (?P<shift>[+-]?[\d.]+)$"
)


@dataclass(frozen=True)
class Scenario:
    """Assumptions on prepayment, default, recovery and rates; a speed may be one figure or one for each month.

    `prepayment` in percent: CPR a year, SMM a month, or PSA (100 is 0.2 % CPR in month 1 of a contract's life, up
    to 6 % in month 30). `default` in percent: CDR a year, MDR a month, or SDA (100 is 0.02 % CDR in month 1 up to
    0.60 % in month 30, level to month 60, down to 0.03 % in month 120). `severity` is the share of a defaulted
    balance that is lost, the rest comes back `lag` months later; `shift` is added to the yearly rate.

    Source: The Bond Market Association, Standard Formulas (1999), SF-4 to SF-22.
    """

    name: str
    prepayment: float
    prepayment_kind: Literal["CPR", "SMM", "PSA"]
    default: tuple[float, ...]
    default_kind: Literal["CDR", "MDR", "SDA"]
    severity: float
    lag: int
    shift: float

    def smm(self, age: Numbers) -> Numbers:
        """Share of the balance prepaid in a month, at the given months of life: 1 - (1 - CPR)^(1/12)."""
        speed = np.full(age.shape, self.prepayment / 100)
        if self.prepayment_kind == "SMM":
            return speed
        ramp = np.minimum(age / _PSA_RAMP_MONTHS, 1) * _PSA_LEVEL if self.prepayment_kind == "PSA" else 1.0
        return monthly_rate(speed * ramp)

    def mdr(self, age: Numbers, month: Numbers) -> Numbers:
        """Share of the balance that defaults in a month; a list of speeds is used month by month, its last goes on."""
        speeds = np.array(self.default) / 100
        speed = speeds[np.minimum(month.astype(np.int64) - 1, len(speeds) - 1)] * np.ones(age.shape)
        if self.default_kind == "MDR":
            return np.asarray(speed)
        return monthly_rate(speed * (standard_default(age) if self.default_kind == "SDA" else 1.0))


def monthly_rate(yearly: Numbers) -> Numbers:
    """SMM = 1 - (1 - CPR)^(1/12)."""
    return np.asarray(1 - (1 - np.minimum(yearly, 1.0)) ** (1 / 12))


def standard_default(age: Numbers) -> Numbers:
    """The yearly default rate of 100 SDA by month of life."""
    return np.interp(age, [0, 30, 60, 120], [0.0, 0.006, 0.006, 0.0003])


def read_scenarios(text: str) -> list[Scenario]:
    """`base: 2 CPR, 1 CDR, severity 40, lag 12, shift 0; ...`; default speeds month by month as `1/2/3 CDR`."""
    found = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        entry = _ENTRY.match(part)
        if entry is None:
            raise SettingsError(
                "A scenario cannot be read", where="scenarios", found=part,
                expected="name: 2 CPR, 1 CDR, severity 40, lag 12, shift 0 (CPR, SMM or PSA; CDR, MDR or SDA)",
            )  # fmt: skip
        field: dict[str, Any] = entry.groupdict()
        default = tuple(float(x) for x in field["cdr"].split("/"))
        found.append(
            Scenario(
                field["name"], float(field["cpr"]), field["cpr_kind"], default, field["cdr_kind"],
                float(field["severity"]) / 100, int(field["lag"]), float(field["shift"]) / 100,
            )
        )  # fmt: skip
    if not found or len({s.name for s in found}) < len(found):
        raise SettingsError("Scenarios need names of their own", where="scenarios", found=text)
    return found


def project_pool(
    balance: Numbers, smm: Numbers, mdr: Numbers, severity: float, lag: int, *, is_advanced: bool = False
) -> dict[str, Numbers]:
    """One pool's flows by month from its scheduled balance, month 0 first; rows are pools, columns months.

    default = performing x MDR; prepayment = performing x scheduled share left x SMM; scheduled principal comes
    from what does not default. A default is settled `lag` months later: loss = default x severity, recovery = the
    rest, both zero where the months given end before; so balance = scheduled + prepaid + recovered + loss.
    Where a servicer advances the instalments of a defaulted loan (`is_advanced`), what is settled is its balance
    amortised meanwhile, the loss is at most that, and nothing defaults in the pool's last `lag` months.

    Source: The Bond Market Association, Standard Formulas (1999), SF-18 and SF-19.
    """
    months = balance.shape[1] - 1
    flows = {name: np.zeros((len(balance), months)) for name in ("performing", *_FLOWS)}
    left = np.divide(balance[:, 1:], balance[:, :-1], out=np.zeros((len(balance), months)), where=balance[:, :-1] > 0)
    performing = balance[:, 0].copy()
    lives = (balance[:, :-1] > 0).sum(axis=1) - (lag if is_advanced else 0)
    for t in range(months):
        defaulted = performing * mdr[:, t] * (t < lives)
        staying = performing - defaulted
        prepaid = np.minimum(performing * left[:, t] * smm[:, t], staying * left[:, t])
        scheduled = staying * (1 - left[:, t])
        flows["performing"][:, t] = performing
        flows["scheduled"][:, t], flows["prepaid"][:, t], flows["defaulted"][:, t] = scheduled, prepaid, defaulted
        performing = staying - scheduled - prepaid
        if t >= lag:
            settled = flows["defaulted"][:, t - lag]
            base = settled * _amortised(balance, t, lag) if is_advanced else settled
            flows["loss"][:, t] = np.minimum(settled * severity, base)
            flows["recovered"][:, t] = base - flows["loss"][:, t]
    return flows


def _amortised(balance: Numbers, month: int, lag: int) -> Numbers:
    before = balance[:, month - lag]
    return np.divide(balance[:, month], before, out=np.zeros(len(balance)), where=before > 0)
