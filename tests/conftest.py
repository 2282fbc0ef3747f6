"""What several rooms' tests share."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
from hypothesis import settings

from atlas_lib.core.engine import Engine, open_engine
from atlas_lib.core.run import Run
from tests.finished_run import atlas, run_dir_of
from tests.ledger.etcd_cluster import Cluster

settings.register_profile("atlas", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("atlas")
os.environ.setdefault("SPARK_CONF_DIR", str(Path(__file__).parent / "spark"))


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def spark_engine() -> Iterator[Engine]:
    """Spark in local mode; without pyspark or Java the test is skipped, visibly."""
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("Spark parity needs pyspark and a Java 17 runtime (Debian: openjdk-17-jre-headless)")
    yield open_engine("spark")


@pytest.fixture(scope="session")
def duckdb_engine() -> Engine:
    return open_engine("duckdb")


@pytest.fixture(scope="session")
def etcd_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three real etcd nodes on loopback; a test that stops one starts it again. Skipped where etcd is missing."""
    nodes = Cluster(tmp_path_factory.mktemp("etcd"))
    try:
        yield nodes
    finally:
        nodes.close()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Run:
    """A run of the example data, made once; each worker has a copy of it, which its tests share and may go on with."""
    own = tmp_path_factory.mktemp("runs")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return Run(run_dir_of(atlas("run", "--quiet", "--runs-dir", own)))
    made = tmp_path_factory.getbasetemp().parent / "finished_run"
    with filelock.FileLock(made.with_suffix(".lock")):
        if not made.exists():
            partial = made.with_suffix(".partial")
            run_dir_of(atlas("run", "--quiet", "--runs-dir", partial))
            partial.rename(made)
        shutil.copytree(made, own, dirs_exist_ok=True)
    return Run(own / (own / "latest").read_text(encoding="utf-8"))
