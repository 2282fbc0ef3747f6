"""Throw damaged files at every reader of the ingest room: only an error of ours may come back, and soon.

    python -m benchmarks.fuzz_readers --seconds 60 [--data FOLDER] [--seed 7] [--clean]
    python -m benchmarks.fuzz_readers --atheris FILE [libFuzzer options]     # one of the names below; needs atheris

Seeds are statements made here in every format, with and without line breaks, the start of the tables of example_data
and its workbooks, whose parts are damaged within the archive, and the files of FOLDER where one is given. `--clean` puts
what was read through the checks of a run too, and writes the workbook of what is to be corrected. Prints files tried,
refused and read, and every crash with the bytes that made it.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path
from types import SimpleNamespace

from tests.ingest.statement_files import FORMATS, Entry

_SLOW_SECONDS = 5.0
_OTHER = ("s.txt", "s.zip")
_EXAMPLES, _LINES, _AS_OF = Path(__file__).parents[1] / "example_data", 40, date(2026, 10, 30)
_ENTRIES = [Entry(1050, True, 2, "invoice 17"), Entry(99, False, 3, "fee"), Entry(10**9, True, 4, "sale")]
_TOKENS = [b"\x00", b"\xff", b"\n", b",", b";", b'"', b"<", b">", b"&", b"]]>", b"<!--", b"<![CDATA[", b":61:", b":62F:",
           b"88,", b"16,", b"/", b"-", b"9" * 40, b"1e999", b"nan", b"\xe2\x80\xa8", b"<STMTTRN>", b"</Ntry>"]  # fmt: skip


def seeds(data: Path | None) -> list[tuple[str, bytes]]:
    made = [(name, write(0, _ENTRIES).encode()) for name, write in FORMATS.items()]
    made += [(name, text.replace(b"\n", b"")) for name, text in made if name in ("s.xml", "s.ofx")]
    made += [(p.name, b"".join(p.read_bytes().splitlines(True)[:_LINES])) for p in sorted(_EXAMPLES.rglob("*.csv"))]
    made += [(p.name, p.read_bytes()) for p in sorted(_EXAMPLES.glob("*.xlsx"))]
    skipped = {".json", ".yml", ".conf", ".md"}
    outside = [p for p in sorted(data.rglob("*")) if p.is_file() and p.suffix not in skipped] if data else []
    return made + [(p.name, p.read_bytes()) for p in outside if p.stat().st_size < 200_000]


def mutate(content: bytes, chance: random.Random) -> bytes:
    """A few of: bytes lost, repeated, swapped, replaced by a token or at random; the end cut off."""
    for _ in range(chance.randint(1, 4)):
        place, width = chance.randrange(len(content) + 1), chance.randint(0, 60)
        piece = content[place : place + width]
        kind = chance.randrange(6)
        if kind == 0:
            content = content[:place] + content[place + width :]
        elif kind == 1:
            content = content[:place] + piece * chance.randint(2, 30) + content[place + width :]
        elif kind == 2:
            content = content[:place] + chance.choice(_TOKENS) + content[place:]
        elif kind == 3:
            content = content[:place] + bytes(chance.randrange(256) for _ in range(width)) + content[place + width :]
        elif kind == 4:
            content = content[:place]
        else:
            other = chance.randrange(len(content) + 1)
            content = content[:other] + piece + content[other:]
    return content


def mutate_part(archive: bytes, chance: random.Random) -> bytes:
    """The archive with one of its files damaged: its directory and its sums are right."""
    given, made = zipfile.ZipFile(io.BytesIO(archive)), io.BytesIO()
    chosen = chance.choice([name for name in given.namelist() if name.endswith((".xml", ".rels"))])
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as changed:
        for name in given.namelist():
            changed.writestr(name, mutate(given.read(name), chance) if name == chosen else given.read(name))
    return made.getvalue()


def attempt(name: str, content: bytes, clean: bool) -> str:
    """`refused` or `read`; anything else than an error of ours comes out as it is."""
    from atlas_lib.core.errors import AtlasError
    from atlas_lib.core.settings import IngestSettings
    from atlas_lib.ingest import clean_inputs, read_inputs, write_rejects_workbook

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            sheets = read_inputs(path)
            if clean:
                tables = clean_inputs(sheets, IngestSettings.model_validate({}))
                write_rejects_workbook(Path(folder) / "rejects.xlsx", SimpleNamespace(**tables), _AS_OF)
        except AtlasError:
            return "refused"
    return "read"


def fuzz(seconds: float, data: Path | None, seed: int, clean: bool) -> int:
    chance, known, counts = random.Random(seed), seeds(data), Counter[str]()  # noqa: S311  # no secret is made
    crashes: dict[str, tuple[str, bytes]] = {}
    slowest, end = (0.0, ""), time.monotonic() + seconds
    while time.monotonic() < end:
        name, content = chance.choice(known)
        made = (mutate_part if content.startswith(b"PK") and chance.random() < 0.8 else mutate)(content, chance)
        start = time.process_time()
        try:
            counts[attempt(name, made, clean)] += 1
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            crashes.setdefault(f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}", (name, made))
            counts["crashed"] += 1
        slowest = max(slowest, (time.process_time() - start, name))
    sys.stdout.write(f"{sum(counts.values())} files: {dict(counts)}; slowest {slowest[0]:.2f} s CPU ({slowest[1]})\n")
    for text, (name, made) in crashes.items():
        sys.stdout.write(f"CRASH {text}: {name} {made[:2000]!r}\n")
    return 1 if crashes or slowest[0] > _SLOW_SECONDS else 0


def fuzz_with_atheris(reader: str, arguments: list[str]) -> None:
    """Coverage-guided, the paths of our readers and of the packages beneath them, from the statements made here."""
    import atheris

    with atheris.instrument_imports(include=["atlas_lib.ingest", "mt940", "ofxparse"]):
        import atlas_lib.ingest  # noqa: F401
        from atlas_lib.ingest.statements import bai2, camt, mt940, ofx  # noqa: F401
    folder = Path(tempfile.mkdtemp(prefix="atlas-fuzz-"))
    (folder / "seed").write_bytes(dict(seeds(None)).get(reader, b"\n"))

    def once(content: bytes) -> None:
        attempt(reader, content, clean=False)

    atheris.Setup([sys.argv[0], *arguments, str(folder)], once)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--atheris", metavar="FILE", choices=[*FORMATS, *_OTHER])
    chosen, rest = parser.parse_known_args()
    if chosen.atheris:
        fuzz_with_atheris(chosen.atheris, rest)
    sys.exit(fuzz(chosen.seconds, chosen.data, chosen.seed, chosen.clean))


if __name__ == "__main__":
    main()
