"""A layout: how one bank's or processor's CSV export is recognised and which column means what. Data, not code.

The layouts that come with the library stand in `layouts.yaml` beside this file; an input folder may hold its own file
of that name, whose layouts are tried first. docs/statement_formats.md explains every key.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from atlas_lib.core.errors import InputError

LAYOUTS_FILE = "layouts.yaml"

Columns = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Preamble(_Part):
    """A value that stands beside a label above or below the table: the rest of the cell, else the next filled cell."""

    label: str = Field(min_length=1, description="how the cell with the label begins")
    position: int = Field(0, ge=0, description="how many cells to the right it stands; 0: the next filled one")


class Rows(_Part):
    """Files whose first field says what a row is."""

    data: Columns = Field(description="first field of the rows that are lines")
    header: str = Field("", description="first field of the row with the column names")
    aside: Columns = Field((), description="first field of rows that are known to be no lines")


class Amount(_Part):
    """One signed column, or two columns, or one column whose direction another one says."""

    column: str = ""
    credit: Columns = ()
    debit: Columns = ()
    direction: Columns = Field((), description="column that says debit or credit; the figure's sign is then ignored")
    debit_words: Columns = Field((), description="what that column says for a debit")
    credit_words: Columns = Field((), description="what it says for a credit; a line with another word is refused")
    positive_is: Literal["credit", "debit"] = "credit"
    debit_is: Literal["positive", "negative"] = Field("positive", description="sign of the figures in `debit`")
    net_of_fee: bool = Field(True, description="false where the fee has still to be taken off the amount")
    in_minor_units: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.column) == bool(self.credit or self.debit):
            raise ValueError("give either `column`, or `credit` and `debit`")
        if len({bool(self.direction), bool(self.debit_words), bool(self.credit_words)}) > 1:
            raise ValueError("`direction`, `debit_words` and `credit_words` belong together")
        return self


class Layout(_Part):
    """One export. Column values: a name, or several (the first filled one, in text and ids; the sum, in amounts)."""

    name: str
    recognised_by: Columns = Field((), description="column names that must all be in the header")
    file_name: str = Field("", description="pattern of the file's name (* and ?), needed where there is no header")
    columns: Columns = Field((), description="names of the columns in their order, where the file has no header")
    rows: Rows | None = None
    aside: Columns = Field((), description="how a row below the header begins that is no line: a sum, a footer")
    delimiter: Literal[",", ";", "\t", "|"] = ","
    date_format: str = Field("%Y-%m-%d", description="as strptime has it")
    other_date_formats: Columns = Field((), description="tried in turn where the first does not fit")
    day_first_or_month_first: bool = Field(
        False, description="the order of day and month differs by country: it must be certain from the file's dates"
    )
    fallback_date: Preamble | None = Field(None, description="booking date of lines that have none")
    decimal_mark: Literal[".", ","] = "."
    account: Columns | Preamble | None = None
    currency: Columns | Preamble | None = None
    fixed_account: str = ""
    account_name: str = Field("", description="put before the account's number, where that alone says nothing")
    fixed_currency: str = ""
    statement_id: Columns = ()
    line_id: Columns = ()
    transaction_id: Columns = ()
    end_to_end_id: Columns = ()
    booking_date: Columns
    value_date: Columns = ()
    amount: Amount
    fee: Columns = Field((), description="fees of the line; several columns are added up")
    fee_is: Literal["positive", "negative"] = Field("positive", description="sign of a fee that is taken")
    fee_direction: str = Field("", description="column that says whether the fee was taken or given back")
    fee_given_back_words: Columns = ()
    running_balance: str = Field("", description="column with the balance after each line")
    opening_balance: Preamble | None = None
    closing_balance: Preamble | None = None
    status: str = Field("", description="column that says whether the line is booked")
    booked_words: Columns = Field((), description="what it says for a booked line; anything else is pending")
    skip_words: Columns = Field((), description="what it says for a line that books nothing; noted and left out")
    bank_reference: Columns = ()
    remittance_text: Columns = Field((), description="all filled ones are joined")
    counterparty_name: Columns = ()

    @model_validator(mode="after")
    def _can_be_recognised(self) -> Self:
        if not self.recognised_by and not (self.file_name and self.columns):
            raise ValueError(
                "give `recognised_by` (column names), or `file_name` and `columns` for a file without a header"
            )
        if bool(self.fee_direction) != bool(self.fee_given_back_words):
            raise ValueError("`fee_direction` and `fee_given_back_words` belong together")
        if self.status and not (self.booked_words or self.skip_words):
            raise ValueError("`status` needs `booked_words` or `skip_words`")
        return self

    @property
    def date_formats(self) -> tuple[str, ...]:
        return (self.date_format, *self.other_date_formats)


class _File(_Part):
    layouts: tuple[Layout, ...]


def read_layouts(own: Path | None = None) -> tuple[Layout, ...]:
    """The layouts of an input: its own first, then the library's."""
    return (*(_read(own) if own else ()), *_delivered())


@lru_cache(maxsize=1)
def _delivered() -> tuple[Layout, ...]:
    return _read(Path(__file__).with_name(LAYOUTS_FILE))


def _read(path: Path) -> tuple[Layout, ...]:
    """Raises InputError naming every key that is missing, unknown or wrong."""
    import yaml

    try:
        found = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(
            "The layouts cannot be read", where=path.name, expected="YAML with a list `layouts:`", found=str(error),
            remedy="correct the file, or take it out of the input folder",
        ) from error  # fmt: skip
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
        raise InputError(
            "The layouts are not valid", where=path.name, expected="the keys described in docs/statement_formats.md",
            found="; ".join(faults[:6]), remedy="correct the file, or take it out of the input folder",
        ) from error  # fmt: skip
    return found.layouts
