"""Sanctions lists: the published files of OFAC as they are, and the names of the input compared with every entry.

OFAC publishes without a header: `sdn.csv` and `cons_prim.csv` hold the entries, `alt.csv` and `cons_alt.csv` their
aliases, `add.csv` and `cons_add.csv` their addresses; empty is `-0-`; an alias in quotes in the remarks is weak, too
broad to block on (OFAC, Specially Designated Nationals list, data specification and FAQ 122). Any other list is a sheet
`sanctions` with the columns of that table.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from atlas_lib.core.errors import InputError
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.names import find_alike, spellings

_ENTRY_COLUMNS = ("listed_id", "name", "entity_type", "programme", *(f"unused_{i}" for i in range(7)), "remarks")
_ALIAS_COLUMNS = ("listed_id", "alias_id", "alias_type", "alias", "alias_remarks")
_ADDRESS_COLUMNS = ("listed_id", "address_id", "address", "city", "country", "address_remarks")
_FAMILIES = {"sdn.csv": ("OFAC SDN", "alt.csv", "add.csv"), "cons_prim.csv": ("OFAC Consolidated", "cons_alt.csv", "cons_add.csv")}  # fmt: skip
_PRIMARY = {names[1]: primary for primary, names in _FAMILIES.items()}
_HEADER = ("list_name", "listed_id", "name", "alias", "weak_aliases", "entity_type", "country", "programme")
_WEAK = re.compile(r"a\.k\.a\. '([^']+)'")
_WEAK_MARGIN = 0.5  # a weak alias has to be alike by half of what is missing to certainty more than another


def is_published_list(path: Path) -> bool:
    """Whether the file is one that OFAC publishes: an entry file, or aliases or addresses beside theirs."""
    name = path.name.lower()
    beside = {n: primary for primary, names in _FAMILIES.items() for n in names[1:]}
    return name in _FAMILIES or (name in beside and path.with_name(beside[name]).is_file())


def read_published_list(path: Path, name: str) -> RawSheet:
    """One published file as a sheet of the table `sanctions`; addresses only give their entries a country.

    An alias may be spelled as its entry is: both rows say the same, the weak aliases of the entry too.
    """
    kind = path.name.lower()
    if kind in _FAMILIES:
        return _sheet(name, _read_entries(path, name))
    if kind in _PRIMARY:
        entries = _read_entries(path.with_name(_PRIMARY[kind]), name)
        aliases = _read_headerless(path, _ALIAS_COLUMNS, name)
        by_entry = entries.drop(columns="alias").drop_duplicates("listed_id")
        joined = aliases[["listed_id", "alias"]].merge(by_entry, on="listed_id", how="left", validate="many_to_one")
        return _sheet(name, joined.set_index(aliases.index))
    note = (0, "", "", "READ_WITH_ENTRIES", f"{name}: addresses are read with the entries of the list beside them.")
    return RawSheet(name, "", pd.DataFrame(), notes=(note,))


def read_folder(folder: Path) -> pd.DataFrame:
    """All published lists of a folder, one row per spelling (columns of `sanctions` without the source)."""
    files = [p for p in sorted(folder.iterdir()) if p.name.lower() in (*_FAMILIES, *_PRIMARY)]
    if not files:
        raise InputError(
            "No sanctions list here", where=str(folder), expected="sdn.csv with alt.csv, or cons_prim.csv with cons_alt.csv",
            found=", ".join(p.name for p in sorted(folder.iterdir())[:5]), remedy="give the folder of the published files",
        )  # fmt: skip
    sheets = [read_published_list(p, p.name).frame.set_axis(list(_HEADER), axis=1) for p in files]
    return pd.concat(sheets, ignore_index=True)


def _read_entries(path: Path, name: str) -> pd.DataFrame:
    list_name, _, addresses = _FAMILIES[path.name.lower()]
    entries = _read_headerless(path, _ENTRY_COLUMNS, name)
    weak = entries["remarks"].fillna("").str.findall(_WEAK).str.join("; ").replace("", None)
    if path.with_name(addresses).is_file():
        places = _read_headerless(path.with_name(addresses), _ADDRESS_COLUMNS, name).dropna(subset=["country"])
        country = entries["listed_id"].map(places.drop_duplicates("listed_id").set_index("listed_id")["country"])
    else:
        country = pd.Series(None, index=entries.index, dtype="str")
    return entries.assign(list_name=list_name, alias=entries["name"], weak_aliases=weak, country=country)[list(_HEADER)]


def _read_headerless(path: Path, columns: tuple[str, ...], name: str) -> pd.DataFrame:
    """Rows numbered as an editor counts them; the file ends with a control character that is no row."""
    try:
        frame = pd.read_csv(
            path, header=None, names=list(columns), dtype="str", keep_default_na=False, skipinitialspace=True, encoding_errors="replace",
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise InputError(
            "The sanctions list cannot be read", where=name, expected=f"{len(columns)} columns without a header, as OFAC publishes",
            found=str(error), remedy="download the file again",
        ) from error  # fmt: skip
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    cleaned: pd.DataFrame = frame.apply(lambda column: column.str.strip().replace({"-0-": None, "": None}))
    is_row = cleaned["listed_id"].str.isdecimal().fillna(False).astype(bool)
    return cleaned.loc[is_row]


def _sheet(name: str, rows: pd.DataFrame) -> RawSheet:
    frame = rows[list(_HEADER)].set_axis(range(len(_HEADER)), axis=1)
    return RawSheet(name, "", frame, header=_HEADER, table="sanctions")


def listed_spellings(sanctions: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Every spelling to compare with: of the lists, strong and weak, and of the names that policies list.

    `names` has policy_id and key. Columns list_name, listed_id, name, spelling, is_weak.
    """
    columns = ["list_name", "listed_id", "name"]
    strong = sanctions[columns].assign(spelling=sanctions["alias"], is_weak=False)
    main = sanctions[columns].drop_duplicates()
    main = main.assign(spelling=main["name"], is_weak=False)
    weak = sanctions[[*columns, "weak_aliases"]].dropna(subset=["weak_aliases"]).drop_duplicates()
    weak = weak.assign(spelling=weak["weak_aliases"].str.split(";"), is_weak=True).explode("spelling")
    policy = pd.DataFrame(
        {"list_name": "policy " + names["policy_id"], "listed_id": names["key"], "name": names["key"], "spelling": names["key"], "is_weak": False}
    )  # fmt: skip
    every = pd.concat([strong, main, weak[[*columns, "spelling", "is_weak"]], policy], ignore_index=True)
    every = every.assign(spelling=every["spelling"].str.strip())
    return every.sort_values(["list_name", "listed_id", "is_weak"], kind="stable").drop_duplicates(
        ["list_name", "listed_id", "spelling"], ignore_index=True
    )


def match_names(parties: pd.DataFrame, listed: pd.DataFrame, match_rate: float) -> pd.DataFrame:
    """The best entry for each party whose name is like one of the list (`match_entries`: every entry)."""
    return match_entries(parties, listed, match_rate).drop_duplicates(["kind", "key", "name"], ignore_index=True)


def match_entries(parties: pd.DataFrame, listed: pd.DataFrame, match_rate: float) -> pd.DataFrame:
    """Every entry that a party's name is like, best first.

    `parties` has kind, key, name; `listed` comes from `listed_spellings`. Gives kind, key, name, list_name, listed_id,
    listed_name, alias, is_weak, match_rate; a weak alias counts from halfway between the rate asked for and 1.
    """
    columns = ["kind", "key", "name", "list_name", "listed_id", "listed_name", "alias", "is_weak", "match_rate"]
    if parties.empty or listed.empty:
        return pd.DataFrame(columns=columns)
    asked, known = spellings(parties["name"]), spellings(listed["spelling"])
    pairs = find_alike(asked["folded"], known["folded"], 100 * match_rate)
    hits = pd.DataFrame(
        {
            "party": asked["position"].to_numpy()[pairs["asked"]],
            "entry": known["position"].to_numpy()[pairs["listed"]],
            "match_rate": pairs["likeness"] / 100,
        }
    )
    entry = (
        listed.iloc[hits["entry"]].reset_index(drop=True).rename(columns={"name": "listed_name", "spelling": "alias"})
    )
    hits = pd.concat([hits.reset_index(drop=True), entry], axis=1)
    hits = hits[~hits["is_weak"] | (hits["match_rate"] >= match_rate + _WEAK_MARGIN * (1 - match_rate))]
    hits = hits.sort_values(["party", "is_weak", "match_rate", "list_name", "listed_id", "alias"], ascending=[True, True, False, True, True, True])  # fmt: skip
    best = hits.drop_duplicates(["party", "list_name", "listed_id"])
    party = parties.iloc[best["party"]].reset_index(drop=True)
    return pd.concat([party[["kind", "key", "name"]], best.reset_index(drop=True)], axis=1)[columns]


def describe(matches: pd.DataFrame) -> pd.DataFrame:
    """The matches with `detail`: who, which entry, which spelling, how alike."""
    if matches.empty:
        return matches.assign(detail="")
    alias = (", spelled " + matches["alias"]).where(matches["alias"] != matches["listed_name"], "")
    weak = matches["is_weak"].map({True: " (a weak alias: look, do not block)", False: ""})
    kind = matches["kind"].str.capitalize().replace({"Other": "Party"})
    who = kind + " " + matches["key"].where(matches["kind"] != "other", "") + " " + matches["name"]
    detail = (
        who.str.replace("  ", " ") + " has the listed name " + matches["listed_name"] + " (" + matches["list_name"]
        + ", entry " + matches["listed_id"] + alias + "), likeness " + matches["match_rate"].map("{:.2f}".format) + weak
    )  # fmt: skip
    return matches.assign(detail=detail.astype("str"))
