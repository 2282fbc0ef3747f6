"""Kinds of settings that need more than a range: refused before the first notebook runs, in words of what is expected."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _currency(code: str) -> str:
    from atlas_lib.core.money import currency_codes

    if code not in currency_codes():
        raise ValueError("an ISO 4217 code such as EUR")
    return code


def _time_of_day(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("a time of day as HH:MM, such as 17:00")
    return text


def _commit_service(text: str) -> str:
    if text != "local" and not text.startswith("etcd://"):
        raise ValueError("local, or etcd://host:port,host:port,host:port")
    return text


Currency = Annotated[str, AfterValidator(_currency)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
CommitService = Annotated[str, AfterValidator(_commit_service)]
