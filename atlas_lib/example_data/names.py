"""Invented names and numbered ids; nobody and nothing here exists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

MERCHANT_NAMES = (
    "Kübler Küchen GmbH",
    "Sonnenhof Versandhaus",
    "Brückner & Söhne Fahrräder",
    "Möbelwerk Lindental",
    "Fjällstuga Outdoor AB",
    "Atelier Rougemont SARL",
    "Bäckerei Großmann Filialen",
    "Tulpenveld Bloemen BV",
    "Elektro Hägele KG",
    "Optik Weißenfels GmbH",
    "Orlow Maritime Handels GmbH",
    "Gasthof Zum Löwen Betriebs GmbH",
)
MERCHANT_CATEGORIES = (
    "kitchens",
    "mail order",
    "bicycles",
    "furniture",
    "outdoor",
    "arts",
    "food",
    "flowers",
    "electronics",
    "optics",
    "shipping",
    "restaurants",
)
_PLACES = "Altmühl Birkenau Drosselfeld Eichgrund Fährheim Grünwinkel Höhenried Ilmtal Jülsdorf Köndringen".split()
_TRADES = "Möbel Schuhe Fahrräder Optik Gärten Bücher Küchen Spielwaren Werkzeuge Wäsche".split()
_CATEGORIES = "furniture shoes bicycles optics gardening books kitchens toys tools laundry".split()
_FORMS = "GmbH KG AG OHG".split()

COUNTERPARTIES = (
    "Nordkap Zahlungsdienste",
    "Handelsbank Weserland",
    "Rheingau Acquiring",
    "Alpenpay Clearing",
    "Brabant Card Services",
    "Ostseekontor Bank",
)
TOWNS = (
    ("DE", "Köln"),
    ("DE", "Würzburg"),
    ("DE", "Lübeck"),
    ("AT", "Linz"),
    ("SE", "Växjö"),
    ("FR", "Dijon"),
    ("DE", "Gießen"),
    ("NL", "Haarlem"),
    ("DE", "Böblingen"),
    ("DE", "Weißenfels"),
    ("DE", "Bremerhaven"),
    ("AT", "Kitzbühel"),
)


def merchant_names(count: int) -> list[str]:
    """The first twelve by hand, the rest put together from a place, a trade and a legal form."""
    made = [
        f"{trade} {place} {form}" + (f" {turn}" if turn else "")
        for turn in range(1 + count // 400)
        for form in _FORMS
        for trade in _TRADES
        for place in _PLACES
    ]
    return [*MERCHANT_NAMES, *made][:count]


def merchant_categories(count: int) -> list[str]:
    """What they sell, by their names; the rest in turns, as their names are."""
    made = [
        _CATEGORIES[(number // len(_PLACES)) % len(_TRADES)] for number in range(max(0, count - len(MERCHANT_NAMES)))
    ]
    return [*MERCHANT_CATEGORIES, *made][:count]


def numbered(prefix: str, numbers: ArrayLike, width: int) -> pd.Series:
    """Ids of one length: `numbered("T", [7], 4) == ["T0007"]`."""
    digits = pc.utf8_lpad(pc.cast(pa.array(np.asarray(numbers, dtype=np.int64)), pa.string()), width, "0")
    joined = pc.binary_join_element_wise(pa.scalar(prefix), digits, "")
    return pd.Series(joined.to_pandas(), dtype="str")
