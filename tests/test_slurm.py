"""The script for SLURM in docs/cluster.md, with a shell and what a cluster would do around it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import metarl

PAGE = Path(__file__).parent.parent / "docs" / "cluster.md"

SBATCH = """#!/bin/bash
# What sbatch does with the options that it is given here: one job a number of the array
set -euo pipefail
array=$(sed -n 's/^#SBATCH --array=//p' "$1")
export SLURM_CPUS_PER_TASK=$(sed -n 's/^#SBATCH --cpus-per-task=//p' "$1")
for SLURM_ARRAY_TASK_ID in $(seq "${array%-*}" "${array#*-}"); do
    export SLURM_ARRAY_TASK_ID
    bash "$1"
done
"""
RECORDER = """#!/bin/bash
echo "$SLURM_CPUS_PER_TASK $@" >> calls.txt
"""
QUICK = "--tasks 4 --rollouts 3 --hidden 8 --horizon 12 --threads 1"
REAL = f"""#!/bin/bash
[ "$1" = train ] && set -- "$@" {QUICK}
exec {sys.executable} -m metarl "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's script, and with commands that are found first."""
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "job.sh").write_text(script)
    (tmp_path / "bin").mkdir()
    return tmp_path


def command(folder: Path, name: str, text: str) -> None:
    (folder / "bin" / name).write_text(text)
    (folder / "bin" / name).chmod(0o755)


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", **variables}


def test_each_number_of_the_array_trains_a_seed_and_resumes_it(folder: Path):
    command(folder, "sbatch", SBATCH)
    command(folder, "metarl", RECORDER)
    submit = ["sbatch", "job.sh"]
    subprocess.run(submit, cwd=folder, env=environment(folder), check=True)
    calls = (folder / "calls.txt").read_text().splitlines()
    runs = [f"runs/velocity/seed-{seed}" for seed in range(10)]
    trained = [f"8 train HalfCheetahVel --out {run} --seed {run[-1]}" for run in runs]
    assert calls == trained
    for run in runs[:9]:
        (folder / run).mkdir(parents=True)
        (folder / run / "config.json").touch()
    subprocess.run(submit, cwd=folder, env=environment(folder), check=True)
    calls = (folder / "calls.txt").read_text().splitlines()[10:]
    assert calls == [*(f"8 resume {run}" for run in runs[:9]), trained[9]]


@pytest.mark.slow
def test_the_signal_before_the_end_saves_the_run_and_the_next_job_goes_on(folder: Path):
    """As a job gets it: the shell has become metarl, which the signal is for."""
    command(folder, "metarl", REAL)
    run = folder / "runs" / "velocity" / "seed-3"
    done: list[int] = []
    for _ in range(2):
        job = subprocess.Popen(
            ["bash", "job.sh"],
            cwd=folder,
            env=environment(folder, SLURM_ARRAY_TASK_ID="3", SLURM_CPUS_PER_TASK="1"),
            stderr=subprocess.PIPE,
            text=True,
        )
        before = len(done) and (run / "checkpoint.safetensors").read_bytes()
        while not (run / "checkpoints").exists() or (
            before and (run / "checkpoint.safetensors").read_bytes() == before
        ):
            assert job.poll() is None, job.communicate()[1]
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        said = job.communicate(timeout=120)[1]
        assert job.returncode == 143, said
        assert "resume with: metarl resume runs/velocity/seed-3" in said
        done.append(metarl.load(run).iteration)
    assert 0 < done[0] < done[1]
    assert metarl.load(run).config.seed == 3
