"""Atlas Settlement in Airflow (2.9 or newer): one run per banking day, its summary handed on, old runs removed.

Copy into the DAG folder. Atlas lives in an environment of its own, so that the two sets of packages do not meet.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow import DAG
from airflow.operators.bash import BashOperator

ATLAS = "cd /srv/atlas/workbook && .venv/bin/atlas"

with DAG(
    dag_id="atlas_settlement",
    schedule="15 6 * * 1-5",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),  # noqa: UP017  # Airflow still runs on Python 3.10
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=10), "execution_timeout": timedelta(hours=2)},
    tags=["settlement"],
) as dag:
    # The last line printed is the run directory: Airflow keeps it as the task's result (XCom). A retry resumes the run.
    run = BashOperator(
        task_id="run",
        bash_command=f"{ATLAS} run --quiet --input /srv/atlas/inbox --as-of {{{{ data_interval_end | ds }}}}",
        env={"ATLAS_RUNS_DIR": "/srv/atlas/runs"},
        append_env=True,
        skip_on_exit_code=7,
    )
    summary = BashOperator(task_id="summary", bash_command="cat '{{ ti.xcom_pull(task_ids=\"run\") }}/summary.txt'")
    prune = BashOperator(
        task_id="prune", bash_command=f"{ATLAS} prune --keep 60 --runs-dir /srv/atlas/runs", trigger_rule="all_done"
    )
    run >> summary >> prune
