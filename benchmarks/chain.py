"""The five-notebook run on example_data: our chain against papermill called once per notebook.

Also the share of the chain that kernel start and imports would take without kernels started ahead,
and the time of `import atlas_lib`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from atlas_lib.core.given_settings import read_settings_file, run_settings
from atlas_lib.core.opening import create_run
from atlas_lib.core.settings import STAGES
from atlas_lib.pipeline import WARM_IMPORTS

ROOT = Path(__file__).parents[1]
INPUT = ROOT / "example_data"
REPEATS = 3


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def atlas_run(folder: Path) -> float:
    return seconds([sys.executable, "-m", "atlas_lib.cli", "run", "--quiet", "--runs-dir", str(folder)])


def papermill_one_by_one(folder: Path) -> float:
    """The same notebooks and parameters through papermill's own command, a cold kernel each; no reports."""
    settings = run_settings(read_settings_file(INPUT / "settings.yaml"))
    run = create_run(INPUT, settings, folder)
    total = 0.0
    for stage in STAGES:
        parameters = {"run_dir": str(run.directory), **settings[stage].model_dump(mode="json")}
        parameters |= {"input_path": str(INPUT)} if stage == "01_ingest" else {}
        pairs = [part for name, value in parameters.items() for part in ("-p", name, str(value))]
        total += seconds(
            [
                sys.executable,
                "-m",
                "papermill",
                f"notebooks/{stage}.ipynb",
                str(folder / "out.ipynb"),
                "--no-progress-bar",
                *pairs,
            ]
        )
    return total


def kernel_start_and_imports() -> float:
    """Starting one kernel and importing what every notebook imports."""
    from jupyter_client.manager import start_new_kernel

    started = time.perf_counter()
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    client.execute_interactive(WARM_IMPORTS, timeout=60)
    elapsed = time.perf_counter() - started
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return elapsed


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    ours, peers, kernels = [], [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
            ours.append(atlas_run(Path(a)))
            peers.append(papermill_one_by_one(Path(b)))
            kernels.append(kernel_start_and_imports())
    imports = median(
        [
            seconds([sys.executable, "-c", "import atlas_lib"]) - seconds([sys.executable, "-c", "pass"])
            for _ in range(7)
        ]
    )
    chain, peer, cold = median(ours), median(peers), median(kernels) * len(STAGES)
    lines = [
        f"atlas run, with HTML reports       {chain:6.1f} s",
        f"papermill, one call per notebook   {peer:6.1f} s   ratio atlas / papermill {chain / peer:.2f}",
        f"five cold kernels with imports     {cold:6.1f} s   {cold / peer:.0%} of papermill's time",
        f"import atlas_lib                   {imports * 1000:6.1f} ms",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
