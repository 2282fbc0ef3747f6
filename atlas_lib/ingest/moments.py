"""Dates and moments as people type them, in English and German; the rules stand in parsing.py."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atlas_lib.ingest.cells import Cells, Mask, Parsed, placed, plain, split_cells

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january januar jänner jaenner", "feb february februar feber", "mar march mär märz maerz mrz", "apr april", "may mai", "jun june juni", "jul july juli", "aug august", "sep sept september", "oct october okt oktober", "nov november", "dec december dez dezember"),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_HOURS = {"z": 0.0, "utc": 0.0, "gmt": 0.0, "cet": 1.0, "mez": 1.0, "cest": 2.0, "mesz": 2.0}
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so)[a-zäöü]{0,8}\.?,?\s+)?"
_TIME = r"(?:(?:\s*[t,]\s*|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d{1,9})?))?(?:\s*(?P<half>am|pm)|\s*uhr)?(?:\s*(?P<zone>z|utc|gmt|cet|cest|mez|mesz|[+-]\d{2}(?::?\d{2})?))?)?"
_NUMERIC = r"(?P<a>\d{1,4})(?P<sep>[./-])\s?(?P<b>\d{1,2})[./-]\s?(?P<c>\d{1,4})"
_WORDED = r"(?:(?P<d1>\d{1,2})(?:st|nd|rd|th)?[\s./-]*(?P<m1>[a-zäö]{3,9})\.?[\s,/-]*(?P<y1>\d{2}|\d{4})|(?P<m2>[a-zäö]{3,9})\.?[\s-]*(?P<d2>\d{1,2})(?:st|nd|rd|th)?\.?,?[\s-]+(?P<y2>\d{2}|\d{4}))"
_COMPACT = r"(?P<k>\d{8}|\d{6}|\d{5})"
_ANY = re.compile(rf"{_WEEKDAY}(?:{_NUMERIC}|{_WORDED}|{_COMPACT}){_TIME}", re.ASCII)
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
Moments = NDArray[np.datetime64]
FIRST_YEAR, LAST_YEAR = 1900, 2199


def parse_date(cells: pd.Series, *, may_infer: bool = True) -> Parsed:
    """The calendar day as written, midnight without zone; a time of day is cut off."""
    parsed = _parse(cells, may_infer, in_utc=False)
    days = parsed.result.dt.tz_localize(None).dt.floor("D").astype("datetime64[us]")
    return Parsed(days, parsed.faults, inferred=parsed.inferred)


def parse_instant(cells: pd.Series, *, may_infer: bool = True) -> Parsed:
    """A moment in UTC; text without a zone is UTC."""
    return _parse(cells, may_infer, in_utc=True)


def _parse(cells: pd.Series, may_infer: bool, *, in_utc: bool) -> Parsed:
    parts = split_cells(cells)
    is_far = (parts.moments.notna() & ~parts.moments.dt.year.between(FIRST_YEAR, LAST_YEAR)).to_numpy(dtype=bool)
    values = parts.moments.mask(is_far)
    numbered = ~np.isnan(parts.numbers)
    faults = {
        "FORMULA_WITHOUT_VALUE": parts.broken,
        "AMBIGUOUS_DATE": np.zeros(len(cells), dtype=bool),
        "NOT_A_DATE": is_far,
    }
    compact = numbered & (parts.numbers >= 19000101) & (parts.numbers <= 21991231)
    faults["DATE_AS_NUMBER"] = numbered & ~compact
    texts, has_text = parts.texts, parts.has_text
    if compact.any():
        texts = texts.copy()
        texts[compact] = parts.numbers[compact].astype(np.int64).astype(str)
        has_text = has_text | compact
    if not has_text.any():
        return Parsed(values, faults)
    read = _read_texts(texts[has_text], may_infer and _is_only_text(parts), in_utc=in_utc)
    values[has_text] = read.result
    for rule, mask in read.faults.items():
        faults[rule] = placed(faults.get(rule), has_text, mask)
    return Parsed(values, faults, inferred={rule: placed(None, has_text, mask) for rule, mask in read.inferred.items()})


def _is_only_text(parts: Cells) -> bool:
    """Excel turns the texts it can read into date cells, in the order of its own country: then the rest proves nothing."""
    return not bool(parts.moments.notna().any())


def _read_texts(texts: pd.Series, may_infer: bool, *, in_utc: bool) -> Parsed:
    """Texts to moments: ISO in one go, anything else once per distinct text."""
    moments = np.full(len(texts), np.datetime64("NaT", "us"))
    iso = np.asarray(texts.str.match(_ISO), dtype=bool)
    if iso.any():
        moments[iso] = _read_iso(texts[iso] if in_utc else texts[iso].str.slice(0, 10))
    faults = {"AMBIGUOUS_DATE": np.zeros(len(texts), dtype=bool), "DATE_AS_NUMBER": np.zeros(len(texts), dtype=bool)}
    if iso.all():
        return Parsed(_in_utc(moments, texts), faults | {"NOT_A_DATE": np.isnat(moments)})
    codes, distinct = pd.factorize(texts[~iso])
    found = _extract(pd.Series(distinct, dtype="str"))
    order, inferred = _day_and_month(found, may_infer)
    unclear = np.asarray(order["unclear"] | found["is_short_year"])
    moments[~iso] = np.where(unclear, np.datetime64("NaT"), _assemble(found, order, in_utc=in_utc))[codes]
    faults["AMBIGUOUS_DATE"] = placed(None, ~iso, unclear[codes])
    faults["DATE_AS_NUMBER"] = placed(None, ~iso, np.asarray(found["is_serial"])[codes])
    faults["NOT_A_DATE"] = np.isnat(moments) & ~faults["AMBIGUOUS_DATE"] & ~faults["DATE_AS_NUMBER"]
    first = np.zeros(len(texts), dtype=bool)
    first[np.flatnonzero(~iso)[np.flatnonzero(inferred[codes])[:1]]] = True
    return Parsed(_in_utc(moments, texts), faults, inferred={"DATE_ORDER_INFERRED": first & ~np.isnat(moments)})


def _in_utc(moments: Moments, texts: pd.Series) -> pd.Series:
    naive = pd.Series(moments, index=texts.index)
    return pd.Series(naive.dt.tz_localize("UTC"))


def _read_iso(texts: pd.Series) -> Moments:
    read = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
    return np.asarray(read.where(read.dt.year.between(FIRST_YEAR, LAST_YEAR)), dtype="datetime64[us]")


def _extract(texts: pd.Series) -> pd.DataFrame:
    """Per text: a, b, c as written with `sep`, or day, month, year where their order is certain; the time of day."""
    found = plain(texts).str.lower().str.strip().map(_ANY.fullmatch, na_action="ignore")
    names = list(_ANY.groupindex)
    rows = [m.groupdict() if isinstance(m, re.Match) else dict.fromkeys(names) for m in found]
    parts = pd.DataFrame(rows, columns=names, dtype=object)
    compact = parts["k"].fillna("")
    long = compact.str.len() == 8
    year = parts["y1"].fillna(parts["y2"]).mask(long, compact.str[:4])
    month = parts["m1"].fillna(parts["m2"]).map(_MONTHS).mask(long, compact.str[4:6])
    day = parts["d1"].fillna(parts["d2"]).mask(long, compact.str[6:])
    # 5 digits are the day number that Excel counts; 6 are a day with a year of two digits
    short = (parts["c"].fillna("0000").str.len() != 4) & (parts["a"].fillna("").str.len() != 4)
    short |= (year.fillna("0000").astype(str).str.len() == 2) | (compact.str.len() == 6)
    return parts.assign(year=year, month=month, day=day, is_short_year=short.to_numpy(dtype=bool), is_serial=(compact.str.len() == 5).to_numpy(dtype=bool))  # fmt: skip


def _day_and_month(found: pd.DataFrame, may_infer: bool) -> tuple[pd.DataFrame, Mask]:
    """Year, month and day as numbers, which texts leave their order open, and which got it from their column.

    With slashes or dashes `13/04/2026` says by itself that the day is first. Where such texts all agree, and the column
    holds nothing but text, they decide for the others with the same sign between: who writes another may use another order.
    """
    a, b, c = (pd.to_numeric(found[n]).to_numpy(dtype=np.float64) for n in "abc")
    ymd = np.asarray(found["a"].fillna("").str.len() == 4)
    open_order = np.asarray(found["sep"].isin(["/", "-"])) & ~ymd
    day_first, month_first = open_order & (a > 12) & (b <= 12), open_order & (b > 12) & (a <= 12)
    unclear = open_order & (a <= 12) & (b <= 12) & (a != b)
    inferred, swapped = np.zeros(len(found), dtype=bool), month_first.copy()
    for sign in ("/", "-") if may_infer else ():
        alike = np.asarray(found["sep"] == sign)
        if (day_first & alike).any() != (month_first & alike).any():
            inferred |= unclear & alike
            swapped |= unclear & alike & (month_first & alike).any()
    day = np.where(ymd, c, np.where(swapped, b, a))
    month = np.where(ymd, b, np.where(swapped, a, b))
    own = [pd.to_numeric(found[n], errors="coerce").to_numpy(dtype=np.float64) for n in ("year", "month", "day")]
    parts = [np.where(np.isnan(o), w, o) for o, w in zip(own, (np.where(ymd, a, c), month, day), strict=True)]
    columns = dict(zip(("year", "month", "day"), parts, strict=True))
    return pd.DataFrame(columns).assign(unclear=unclear & ~inferred), inferred


def _assemble(found: pd.DataFrame, order: pd.DataFrame, *, in_utc: bool) -> Moments:
    """Moments from the parts; a day or hour that does not exist is missing."""
    hour, minute = (pd.to_numeric(found[n]).fillna(0).to_numpy(dtype=np.float64) for n in ("hour", "minute"))
    second = pd.to_numeric(found["second"].str.replace(",", ".", regex=False)).fillna(0).to_numpy(dtype=np.float64)
    half = found["half"].fillna("").to_numpy(dtype=object)
    bad_half = (half != "") & ((hour < 1) | (hour > 12))
    hour = np.where(half == "", hour, hour % 12 + 12 * (half == "pm"))
    years = order["year"].to_numpy()
    valid = (years >= FIRST_YEAR) & (years <= LAST_YEAR) & (hour < 24) & (minute < 60) & (second < 60) & ~bad_half
    parts = {name: np.where(valid, order[name], np.nan) for name in ("year", "month", "day")}
    days = pd.to_datetime(pd.DataFrame(parts), errors="coerce").astype("datetime64[us]")
    micros = ((hour * 60 + minute) * 60_000_000 + np.round(second * 1e6) - (_offset_hours(found["zone"]) * 3.6e9 if in_utc else 0)).astype(np.int64)  # fmt: skip
    whole: Moments = np.asarray(days, dtype="datetime64[us]") + micros.astype("timedelta64[us]")
    return whole


def _offset_hours(zones: pd.Series) -> NDArray[np.float64]:
    """Hours east of Greenwich; 0 where no zone is named."""
    named = zones.map(_HOURS).to_numpy(dtype=np.float64)
    digits = zones.fillna("").str.extract(r"^([+-])(\d{2}):?(\d{2})?$")
    sign = np.where(digits[0] == "-", -1.0, 1.0)
    given = sign * (pd.to_numeric(digits[1]) + pd.to_numeric(digits[2]).fillna(0) / 60).to_numpy(dtype=np.float64)
    return np.nan_to_num(np.where(np.isnan(named), given, named))
