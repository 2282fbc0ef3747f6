"""`atlas evaluate portal` on small collections of our own, in the layouts of the outside ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from atlas_lib.cli import app
from atlas_lib.core.errors import InputError
from atlas_lib.evaluation.portal_trials import try_portal


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def marketplace(folder: Path) -> None:
    """Three orders paid in full (one in two parts), one short by 2.00, one cancelled, one without items."""
    orders = [("o1", "delivered"), ("o2", "delivered"), ("o3", "delivered"), ("o4", "delivered"), ("o5", "canceled"), ("o6", "unavailable")]  # fmt: skip
    write(folder / "olist_orders_dataset.csv", "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at\n" + "".join(f"{o},c-{o},{s},2017-05-0{n} 13:53:39,2017-05-0{n} 14:05:12\n" for n, (o, s) in enumerate(orders, 1)))  # fmt: skip
    write(folder / "olist_customers_dataset.csv", "customer_id,customer_unique_id\n" + "".join(f"c-{o},u{o}\n" for o, _ in orders))  # fmt: skip
    write(folder / "olist_order_items_dataset.csv", "order_id,order_item_id,seller_id,price,freight_value\n" + "".join(f"o{n},1,s1,10.00,1.50\n" for n in range(1, 6)))  # fmt: skip
    paid = [("o1", 1, "11.50"), ("o2", 1, "11.50"), ("o3", 1, "7.00"), ("o3", 2, "4.50"), ("o4", 1, "9.50"), ("o5", 1, "11.50"), ("o6", 1, "3.00")]  # fmt: skip
    write(folder / "olist_order_payments_dataset.csv", "order_id,payment_sequential,payment_value\n" + "".join(f"{o},{n},{v}\n" for o, n, v in paid))  # fmt: skip


def test_orders_are_held_against_their_payments_and_cancelled_ones_count_as_refunds(tmp_path):
    marketplace(tmp_path / "olist")
    ((name, figures),) = try_portal(tmp_path)
    told = dict(figures)
    assert name == "olist"
    assert told["orders without items, of them paid"] == "1, 1"
    assert (
        told["due, matched"] == "6, 66.67% (3 reference, 1 split)"
    )  # five sales and a refund that nobody has booked yet
    assert told["open breaks"] == "1 AMOUNT_MISMATCH, 1 MISSING_IN_LEDGER"
    assert told["difference over all days"] == f"{3.00 - 2.00:,.2f}"  # paid for an order without items; paid too little
    assert told["refunded of volume, of sales"] == "20.00%, 20.00%"


def test_returns_of_a_shop_are_refunds_and_its_daily_totals_prove_them(tmp_path):
    rows = [
        f"{n},A,x,2,2010-12-0{day} 08:26:00,{105 + 61 * n % 400}.{37 * n % 100:02d},C{n % 2},{'Norway' if n % 2 else 'Spain'}"
        for day in (1, 2)
        for n in range(10 * day, 10 * day + 4)
    ]
    write(tmp_path / "online_retail" / "online_retail_1.csv", "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n" + "\n".join([*rows, "C99,A,x,-1,2010-12-02 09:00:00,8.00,C1,Norway", "77,A,x,1,2010-12-02 09:00:00,0.00,,Spain"]))  # fmt: skip
    sold = pd.DataFrame([r.split(",") for r in rows])
    gross = (sold[3].astype(int) * sold[5].astype(float)).groupby(sold[4].str[:10]).sum()
    write(tmp_path / "online_retail" / "daily_totals.csv", "date,gross_sales,returns,net,invoices\n" + "".join(f"{day},{value},{-8.0 if day.endswith('2') else 0.0},0,4\n" for day, value in gross.items()))  # fmt: skip
    told = dict(dict(try_portal(tmp_path))["online_retail"])
    assert told["invoices of nothing, left out"] == "1"
    assert told["due, matched"] == "9, 100.00% (1 amount_date, 8 day_sum)"
    assert told["merchants, sales"] == f"2, 8 worth {gross.sum():,.2f}"
    assert told["difference over all days"] == "0.00"


def test_the_compliance_list_is_held_against_the_marked_accounts(tmp_path):
    write(tmp_path / "ibm_amlsim" / "transactions.csv", "sourceNodeId,targetNodeId,value,time\n1,2,3.1,1\n1,2,3.2,1\n1,2,3.0,1\n3,4,50,2\n")  # fmt: skip
    write(tmp_path / "ibm_amlsim" / "nodes.csv", "nodeid,isFraud\n1,1\n2,0\n3,1\n4,0\n")
    result = CliRunner().invoke(app, ["evaluate", "portal", "--data", str(tmp_path)], catch_exceptions=False)
    assert "accounts on the compliance list                          2 of 4" in result.output
    assert "50.0%, 50.0%" in result.output


def test_a_folder_without_any_of_them_is_refused_with_their_names(tmp_path):
    result = CliRunner().invoke(app, ["evaluate", "portal", "--data", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "olist" in str(result.exception)
