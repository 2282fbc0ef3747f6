"""The HTML reports: one self-contained page per notebook without its code, and an index.

A page needs no network: style, figures and plotly.js (compressed, once per page) are inside it.
Cells tagged `widgets` are left out, since a widget is dead on paper.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.present import theme
from atlas_lib.present.dashboard import VOILA_TEMPLATE
from atlas_lib.present.glossary import GLOSSARY
from atlas_lib.present.tables import TableView, lab_style

TITLES = {
    "01_ingest": "Ingest",
    "02_reserves_credit": "Reserves and credit",
    "03_portfolio": "Portfolio",
    "04_batching_settlement": "Batching and settlement",
    "05_reconciliation": "Reconciliation",
}
_PLOTLY_MIME = "application/vnd.plotly.v1+json"
_STATUS = {"passed": ("good", "Passed"), "attention": ("attention", "Needs attention"), "skipped": ("neutral", "No input"), "failed": ("bad", "Stopped"), "waiting": ("neutral", "Not run")}  # fmt: skip
_HEADING = re.compile(r"<h2[^>]*id=\"([^\"]+)\"[^>]*>(.*?)</h2>", re.S)
_ANCHOR_LINK = re.compile(r"<a class=\"anchor-link\".*?</a>", re.S)
_FIRST_TITLE = re.compile(r"<h1.*?</h1>", re.S)


def write_stage_page(run: Run, stage: str, notebook: Path) -> Path:
    """Render an executed notebook as `html/<stage>.html`."""
    blocks = read_blocks(notebook)
    made = [{"name": s, "title": TITLES[s]} for s in STAGES]
    here = list(STAGES).index(stage)
    record = run.manifest["stages"].get(stage, {})
    has_charts = any(block["kind"] == "chart" for block in blocks)
    return _write(
        run, f"{stage}.html", "stage.html.j2", title=TITLES[stage], current=stage, blocks=blocks,
        contents=_contents(blocks), before=made[here - 1] if here else None, after=made[here + 1 : here + 2][0] if made[here + 1 :] else None,
        summary={**record, "tone": _STATUS[record.get("status", "waiting")][0]}, plotly=_packed_plotly() if has_charts else None,
        charts_script=resource("charts.js"), dark_colours=json.dumps(theme.DARK_COLOURS),
    )  # fmt: skip


def write_index(run: Run, failure: str = "") -> Path:
    """Render `html/index.html` from the manifest: verdicts, key figures, checks, contents, run facts, glossary."""
    stages = describe_stages(run, failure)
    tone, verdict = describe_run(run, failure)
    contents = {s: _contents(read_blocks(p)) if (p := run.directory / "notebooks" / f"{s}.ipynb").exists() else [] for s in STAGES}  # fmt: skip
    shown: dict[str, Any] = {"tone": tone, "verdict": verdict, "stages": stages, "page_suffix": ".html"}
    shown |= {"contents": contents, "glossary": GLOSSARY, "has_summary": (run.directory / "summary.json").exists()}
    return _write(run, "index.html", "index.html.j2", title="Settlement run", current="", **shown)


def read_blocks(notebook: Path) -> list[dict[str, Any]]:
    """What an executed notebook shows, in order; charts are numbered and have an anchor."""
    return _numbered_blocks(notebook, notebook.stat().st_mtime_ns)


@lru_cache(maxsize=24)
def _numbered_blocks(notebook: Path, written_ns: int) -> list[dict[str, Any]]:  # noqa: ARG001  # a file made anew is read anew
    blocks: list[dict[str, Any]] = list(_blocks(json.loads(notebook.read_text(encoding="utf-8"))["cells"]))
    for number, block in enumerate((b for b in blocks if b["kind"] == "chart"), 1):
        block["number"], block["anchor"] = number, f"figure-{number}"
    return blocks


def _contents(blocks: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Headings and figures in the order of the page."""
    out: list[dict[str, str]] = []
    for block in blocks:
        if block["kind"] == "markdown":
            found = _HEADING.findall(block["html"])
            out += [{"anchor": a, "text": unescape(re.sub(r"<[^>]+>", "", text))} for a, text in found]
        elif block["kind"] == "chart":
            out.append({"anchor": block["anchor"], "text": f"Figure {block['number']}. {block['title']}"})
    return out


def show_overview(run: Run) -> TableView:
    """The same verdicts and key figures for the dashboard's front page."""
    stages = describe_stages(run)
    tone, verdict = describe_run(run)
    page = _environment().get_template("overview.html.j2")
    return TableView(page.render(tone=tone, verdict=verdict, stages=stages, page_suffix=".ipynb"), verdict)


def describe_run(run: Run, failure: str = "") -> tuple[str, str]:
    """Tone (good, attention, bad, neutral) and verdict of the run as a whole."""
    if failure:
        return "bad", failure
    stages = describe_stages(run)
    attention = [s["title"] for s in stages if s["status"] == "attention"]
    skipped = [s["title"] for s in stages if s["status"] == "skipped"]
    waiting = [s["title"] for s in stages if s["status"] == "waiting"]
    if waiting:
        return "neutral", f"The run is not complete. Not run yet: {_listed(waiting)}."
    silent = f" No input for {_listed(skipped)}." if skipped else ""
    if attention:
        return "attention", f"All stages ran. A person should look at {_listed(attention)}.{silent}"
    return "good", f"All stages ran and every check passed.{silent}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def describe_stages(run: Run, failure: str = "") -> list[dict[str, Any]]:
    """One record per notebook: name, title, status, tone, verdict, figures, downloads, checks."""
    made = run.directory / "html"
    out: list[dict[str, Any]] = []
    for name in STAGES:
        record = run.manifest["stages"].get(name, {})
        status = record.get("status") or ("failed" if failure and record else "waiting")
        tone, text = _STATUS[status]
        waiting = "Not run, because an earlier notebook stopped." if failure else "Not run yet."
        out.append(
            {
                "name": name, "title": TITLES[name], "status": status, "tone": tone, "status_text": text,
                "is_made": (made / f"{name}.html").exists(),
                "verdict": record.get("verdict") or (failure if status == "failed" else waiting),
                **{key: record.get(key) for key in ("figures", "downloads", "checks")},
            }
        )  # fmt: skip
    return out


def _blocks(cells: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    from nbconvert.filters import markdown2html

    for cell in cells:
        if "widgets" in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "markdown":
            html = _ANCHOR_LINK.sub("", markdown2html("".join(cell["source"])))
            yield {"kind": "markdown", "html": _FIRST_TITLE.sub("", html)}
        for output in cell.get("outputs", []):
            yield _block(output)


def _block(output: Mapping[str, Any]) -> dict[str, str]:
    data = output.get("data", {})
    if output["output_type"] == "error":
        return {"kind": "error", "text": str(output["evalue"])}
    if _PLOTLY_MIME in data:
        figure = json.dumps(data[_PLOTLY_MIME], separators=(",", ":"), sort_keys=True).replace("</", "<\\/")
        title = data[_PLOTLY_MIME].get("layout", {}).get("title", {}).get("text", "")
        width = "wide" if _is_wide(data[_PLOTLY_MIME]) else ""
        return {
            "kind": "chart",
            "json": figure,
            "title": title,
            "width": width,
            "text": "".join(data.get("text/plain", "")),
        }
    if "text/html" in data:
        return {"kind": "html", "html": "".join(data["text/html"]).removeprefix(lab_style())}
    return {"kind": "text", "text": "".join(data.get("text/plain", output.get("text", "")))}


def _is_wide(figure: Mapping[str, Any]) -> bool:
    """Whether half a page is too narrow: many upright bars under names, or flows between accounts."""
    named = figure.get("layout", {}).get("xaxis", {}).get("type") == "category"
    kinds = [(t.get("type"), len(t.get("x", []))) for t in figure.get("data", [])]
    return any(kind == "sankey" or (named and kind in ("bar", "waterfall") and n > 3) for kind, n in kinds)


def _write(run: Run, file_name: str, template: str, **values: Any) -> Path:
    path = run.directory / "html" / file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    values.setdefault("stages", [{"name": s, "title": TITLES[s], "is_made": True} for s in STAGES])
    page = (
        _environment()
        .get_template(template)
        .render(run=run.manifest, style=style(), theme_script=resource("theme.js"), **values)
    )
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2

    return jinja2.Environment(loader=jinja2.PackageLoader("atlas_lib.present"), autoescape=True, trim_blocks=True)


def style() -> str:
    """The one style sheet; it lies with the dashboard's template, because Voilà can include nothing else."""
    return (VOILA_TEMPLATE / "style.css").read_text(encoding="utf-8")


def resource(name: str) -> str:
    """A script of the pages."""
    return (files("atlas_lib.present") / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _packed_plotly() -> dict[str, Any]:
    """plotly.js as base 85 of gzip (a browser unpacks it): 1.8 MB instead of 4.8 MB a page.

    The alphabet is RFC 1924's, with the two characters that HTML reads as markup replaced.
    """
    source = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    packed = gzip.compress(source, compresslevel=9, mtime=0)
    text = base64.b85encode(packed, pad=True).decode("ascii").translate(str.maketrans("<&", ",."))
    return {"text": text, "bytes": len(packed)}
