"""The command line as its users meet it, mostly without the start of a process for each case."""

import io
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from metarl import commands, envs
from metarl.cli import COMMANDS, main
from metarl.evaluation.settings import AdaptationSettings, ChangeSettings, ComparisonSettings
from metarl.learner.config import Config
from metarl.showing.settings import FilmSettings

QUICK = ["--tasks", "4", "--rollouts", "3", "--hidden", "8", "--horizon", "12", "--threads", "1"]


def in_a_process(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metarl", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def metarl(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What a process would print and end with, without the two seconds that one takes to start."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    command = ["metarl", *map(str, words)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = in_a_process("train", "Point2D", "--out", folder, "--total-timesteps", "600", *QUICK)
    assert done.returncode == 0, done.stderr
    assert f"next: metarl evaluate {folder}" in done.stdout
    return folder


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs that differ in seed."""
    folders = [tmp_path_factory.mktemp("seeds") / f"seed-{seed}" for seed in range(3)]
    for seed, folder in enumerate(folders):
        words = ["--out", folder, "--total-timesteps", "300", "--seed", str(seed), *QUICK]
        assert metarl("train", "Point2D", *words).returncode == 0
    return folders


def test_the_overview_says_what_each_command_says_of_itself():
    shown = " ".join(metarl("--help").stdout.split())
    for name, summary in COMMANDS.items():
        make = getattr(commands, f"{name}_command", None)
        command = make(Config()) if make else getattr(commands, name)
        assert (command.__doc__ or "").splitlines()[0] == summary
        assert f"{name} {summary}" in shown
    assert "--print-completion {bash,zsh}" in shown
    for words in ((), ("trian",)):
        done = metarl(*words)
        assert done.returncode == 2
        assert "COMMAND" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("evaluate", AdaptationSettings()),
        ("evaluate", ChangeSettings()),
        ("report", AdaptationSettings()),
        ("compare", ComparisonSettings()),
        ("render", FilmSettings()),
    ],
)
def test_the_options_are_the_fields_of_the_settings(command: str, settings: Any):
    """By their plain names, with the docstring of the field and its default, if it has one."""
    shown = " ".join(metarl(command, "--help").stdout.replace("│", "").split())
    assert "None" not in shown
    for name, value in asdict(settings).items():
        option = rf"--{name.replace('_', '-')}[ ,]"
        if value is None:
            assert re.search(rf"{option}.*?when left out", shown)
            continue
        words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert re.search(rf"{option}.*?\(default: (.*?)\)", shown)[1] == words  # type: ignore[index]


def test_families_are_listed_for_people_and_for_programs():
    done = metarl("families")
    assert all(name in done.stdout for name in envs.families())
    rows = json.loads(metarl("families", "--json").stdout)
    assert [row["name"] for row in rows] == list(envs.families())
    assert rows[0]["parameters"]
    (one,) = json.loads(metarl("families", "AntGoal", "--json").stdout)
    assert one["name"] == "AntGoal"


def test_the_settings_of_the_variant_and_the_algorithm_are_what_help_shows(tmp_path: Path):
    words = ["Point2D", "--preset", "maml2017", "--algorithm", "cavia"]
    shown = metarl("train", *words, "--help").stdout
    assert "activation function. (default: relu)" in " ".join(shown.replace("│", "").split())
    run = tmp_path / "run"
    done = metarl("train", *words, "--out", run, "--total-timesteps", "1", *QUICK)
    assert done.returncode == 0, done.stderr
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["algorithm"] == "cavia"
    assert (config["activation"], config["inner_lr"], config["tasks"]) == ("relu", 0.5, 4)


def test_a_run_without_a_name_gets_the_first_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And says where it is before it begins."""
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/Point2D", "runs/Point2D-2", "runs/Point2D-3"):
        done = metarl("train", "Point2D", "--total-timesteps", "1", *QUICK)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(f"run: {folder}\n")
        assert f"next: metarl evaluate {folder}\n" in done.stdout
        assert (tmp_path / folder / "checkpoint.safetensors").is_file()


def test_a_run_is_evaluated_filmed_and_lengthened(run_folder: Path):
    done = metarl("evaluate", run_folder, "--tasks", "3", "--rollouts", "3", "--steps", "2")
    assert done.returncode == 0, done.stderr
    assert "inner step" in done.stdout
    assert "Adaptation" in done.stdout
    data = json.loads((run_folder / "evaluation.json").read_text())
    assert len(data["returns"]) == 3
    assert (run_folder / "evaluation.png").stat().st_size > 10_000

    film = run_folder / "videos" / "film.gif"
    done = metarl("render", run_folder, "--task", "x=0.3", "y=-0.2", "--out", film)
    assert done.returncode == 0, done.stderr
    assert f"video: {film}" in done.stdout
    assert film.stat().st_size > 10_000

    done = metarl("resume", run_folder, "--total-timesteps", "900")
    assert done.returncode == 0, done.stderr
    config = json.loads((run_folder / "config.json").read_text())
    assert config["total_timesteps"] == 900


def test_a_task_that_changes_is_measured_and_filmed(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Without a memory: adapted to the task before, with a table of one row."""
    words = ["evaluate", str(run_folder), "--tasks", "4", "--out", str(tmp_path)]
    commands.run([*words, "--change", "3:x=0.1,y=-0.2"])
    shown = capsys.readouterr().out
    assert "Point2D: x 0.1, y -0.2 after 3 s, 4 tasks" in shown
    assert "adapted before" in shown
    settings = json.loads((tmp_path / "change.json").read_text())["settings"]
    assert settings["change"] == {"x": 0.1, "y": -0.2}
    assert (tmp_path / "change.png").is_file()
    assert not (tmp_path / "evaluation.json").exists()
    film = tmp_path / "film.gif"
    commands.run(
        ["render", str(run_folder), "--change", "3", "--height", "120", "--out", str(film)]
    )
    assert film.stat().st_size > 5_000
    for more, message in (
        (["--change", "3", "--rollouts", "2"], "a single run and neither --library nor --rollout"),
        (["--change", "3", "--steps", "2"], "before inner steps, and takes no --steps"),
        (["--change", "3", "--deterministic"], "and takes no --steps, --halve, --scored and --de"),
        (["--memory-window", "20"], "--memory-window requires --change"),
        (["--change", "99"], "must change between them, got 99 s"),
    ):
        with pytest.raises(SystemExit):
            commands.run([*words, *more])
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_several_counts_and_splits_get_a_table_each(seeds: list[Path], tmp_path: Path):
    words = ["--tasks", "3", "--steps", "1", "--rollouts", "1", "4"]
    words += ["--split", "test", "extrapolate", "--out", str(tmp_path)]
    done = metarl("evaluate", *seeds[:2], *words)
    assert done.returncode == 0, done.stderr
    assert "3 test tasks, 1 rollout a step" in done.stdout
    assert "3 extrapolate tasks, 4 rollouts a step" in done.stdout
    assert "2 runs" in done.stdout
    for part in ("test", "extrapolate"):
        for count in (1, 4):
            settings = json.loads((tmp_path / f"evaluation_{part}_{count}.json").read_text())
            assert settings["settings"]["split"] == part
            assert settings["settings"]["rollouts"] == count


@pytest.mark.slow
def test_an_evaluation_that_is_stopped_or_killed_goes_on(seeds: list[Path], tmp_path: Path):
    """In its first and in its second run; the files are those of an undisturbed one."""
    words = ["evaluate", *seeds, "--tasks", "100"]
    assert in_a_process(*words, "--out", tmp_path / "whole").returncode == 0
    out = tmp_path / "stopped"
    partial = out / "evaluation_test_20.partial.safetensors"
    before = b""
    for number in (signal.SIGTERM, signal.SIGKILL):
        command = [sys.executable, "-m", "metarl", *map(str, [*words, "--out", out])]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not partial.exists() or partial.read_bytes() == before:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert list(out.iterdir()) == [partial], said
        before = partial.read_bytes()
        if number == signal.SIGTERM:
            assert process.returncode == 143
            assert said.endswith("\nstopped; the same command resumes from what is done\n")
    done = in_a_process(*words, "--out", out)
    assert done.returncode == 0
    assert all(re.match(r" *\d+ % of \d+ parts, ", line) for line in done.stderr.splitlines())
    files = sorted(path.name for path in out.iterdir())
    assert files == ["evaluation.csv", "evaluation.json", "evaluation.png"]
    for name in files[:2]:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_library_is_made_and_used(run_folder: Path):
    quick = ["--tasks", "20", "--rollouts", "2", "--hidden", "8", "--iterations", "5"]
    done = metarl("similarity", run_folder, *quick, "--skills", "5")
    assert done.returncode == 0, done.stderr
    assert "Spearman correlation" in done.stdout
    library = run_folder / "library.safetensors"
    assert f"next: metarl evaluate {run_folder} --library {library}" in done.stdout
    assert json.loads((run_folder / "similarity.json").read_text())["known"] == 100
    for name in ("task_map.png", "task_distances.png"):
        assert (run_folder / name).stat().st_size > 10_000

    few = ["--tasks", "3", "--rollouts", "3", "--steps", "1"]
    done = metarl("evaluate", run_folder, *few, "--library", library)
    assert done.returncode == 0, done.stderr
    settings = json.loads((run_folder / "evaluation_skills.json").read_text())["settings"]
    assert settings["skills"] == [5]
    checkpoint = run_folder / "checkpoint.safetensors"
    done = metarl("evaluate", run_folder, "--library", checkpoint)
    assert done.returncode == 2
    assert "checkpoint of a learner, not of a skill library" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "HalfCheetaDir"], "did you mean HalfCheetahDir"),
        (["train", "Point2D", "--preset", "maml2018"], "maml2017"),
        (["train", "Point2D", "--inner-lr", "-1"], "inner_lr must be a positive number, got -1.0"),
        (["train", "Point2D", "--horizon", "0"], "horizon must be at least 1 step, got 0"),
        (
            ["train", "Point2D", "--total-timesteps", "0"],
            "total_timesteps must be a whole number of at",
        ),
        (["train", "Point2D", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["evaluate", "nowhere"], "no run folder or checkpoint nowhere"),
        (["resume", "nowhere"], "there is no run folder nowhere"),
    ],
)
def test_bad_input_ends_with_one_line_and_code_2(words: list[str], message: str, tmp_path: Path):
    out = ["--out", str(tmp_path / "run")] if words[0] == "train" else []
    done = metarl(*words, *out)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "x=0.1"], "task parameters x, y; got x"),
        (["--task", "x=0.1", "--task", "y=0.1"], "--task is given twice: give all of its values"),
        (["--task", "x=0.1", "z=0.1"], "task parameters x, y; got x, z"),
        (["--task", "x=9", "y=0"], "outside the range"),
        (["--task", "x=much", "y=0"], "NAME=NUMBER, got 'x=much'"),
        (["--out", "film.avi"], "must end in .mp4 or .gif"),
        (["--out", "/proc/nothing/film.mp4"], "/proc/nothing"),
    ],
)
def test_bad_films_end_with_one_line_and_code_2(run_folder: Path, words: list[str], message: str):
    before = set(run_folder.rglob("*"))
    done = metarl("render", run_folder, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert set(run_folder.rglob("*")) == before


def test_the_lists_that_may_be_given_once_are_all_there_are():
    shown = [metarl(name, "--help").stdout for name in COMMANDS]
    lists = re.findall(r"(--[a-z-]+) (?:\[[^-]*?\.\.\.\]|NAME=\S+ \.\.\.)", "\n".join(shown))
    assert set(lists) == set(commands._LISTS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "RUN", "--rollouts"], "--rollouts needs at least one value"),
        (["evaluate", "RUN", "--rollouts", "2", "0"], "rollouts must be a whole number of at l"),
        (["render", "RUN", "--task", "velocity=1", "--draw", "3"], "choose one of the two"),
        (["evaluate", "RUN", "--split"], "--split needs at least one value"),
        (["evaluate", "RUN", "--cluster", "foo"], "cluster must be ray, ray:auto or ray:HOST:PORT"),
        (["evaluate", "RUN", "--out", "FILE"], "file is a file; it must be a folder"),
        (["evaluate", "RUN", "--out", "FILE/in"], "file is a file; it must be a folder"),
        (["evaluate", "RUN", "--change", "3", "--out", "FILE"], "it must be a folder"),
        (["evaluate", "RUN", "--change", "3", "--memory-window", "3"], "maml-trpo run has none"),
        (["evaluate", "RUN", "--out", "/proc/nothing"], "/proc/nothing cannot be written to"),
        (["compare", "RUN", "--out", "FILE"], "it must be a folder"),
        (["sweep", "Point2D", "--out", "FILE"], "file is a file; it must be a folder"),
        (["tune", "Point2D", "--out", "FILE"], "file is a file; it must be a folder"),
        (
            ["render", "RUN", "--out", "/proc/nothing/a.gif"],
            "nothing/a.gif cannot be written",
        ),
        (["similarity", "RUN", "--skills", "0"], "skills must be a whole number of at least 1"),
    ],
)
def test_bad_options_show_before_anything_is_measured(
    run_folder: Path, tmp_path: Path, words: list[str], message: str
):
    (tmp_path / "file").touch()
    places = {"RUN": str(run_folder), "FILE": str(tmp_path / "file")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metarl.learner.maml.MAML.sampler", lambda *_: pytest.fail("measured"))
        done = metarl(*(re.sub("RUN|FILE", lambda name: places[name[0]], word) for word in words))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("word", ["1e1", "10", "1_0", "10.0"])
def test_whole_numbers_may_be_written_with_an_exponent(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    monkeypatch.setattr("metarl.demo.demo", lambda *given: asked.append(given) or ("", {}))
    done = metarl("demo", "--total-timesteps", word)
    assert (done.returncode, asked[0][1]) == (0, 10)


@pytest.mark.parametrize("word", ["2.5", "much", "inf", "nan"])
def test_what_is_no_whole_number_is_told_with_an_example(word: str):
    done = metarl("demo", "--total-timesteps", word)
    assert done.returncode == 2
    assert "whole number, such as 1_000_000" in " ".join(done.stderr.replace("│", "").split())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory; fewer tasks or rollouts"),
        (MemoryError("Unable to allocate 7.28 TiB for an array"), "memory for 7.28 TiB; fewer"),
        (
            RuntimeError("[alloc_cpu.cpp:127] you tried to allocate 80 bytes."),
            "for 80 bytes; fewer",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."), "for 20.00 GiB; fewer"),
        (RuntimeError("nothing draws here"), "metarl: nothing draws here"),
    ],
)
def test_where_memory_is_short_a_line_says_what_to_do(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("metarl.demo.demo", fail)
    done = metarl("demo")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_unwritable_output_ends_with_one_line():
    done = in_a_process("train", "Point2D", "--out", "/proc/run", *QUICK)
    assert done.returncode == 2
    assert "/proc/run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_foreign_and_torn_checkpoints_end_with_one_line(run_folder: Path, tmp_path: Path):
    import numpy as np

    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, foreign)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes((run_folder / "checkpoint.safetensors").read_bytes()[:200])
    pickled = tmp_path / "model.pt"
    pickled.write_bytes(b"\x80\x04}.")
    for path, message in (
        (foreign, "not a metarl checkpoint"),
        (torn, "damaged"),
        (pickled, "damaged or not a checkpoint"),
    ):
        done = metarl("evaluate", path)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_with_a_run_is_not_overwritten(run_folder: Path):
    before = (run_folder / "progress.csv").read_bytes()
    done = metarl("train", "Point2D", "--out", run_folder, *QUICK)
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    assert (run_folder / "progress.csv").read_bytes() == before


def test_a_reader_that_stops_is_no_error():
    """As in `metarl families | head -1`."""
    words = [sys.executable, "-m", "metarl", "families", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, b"")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_closed_output_is_no_error(closed: str):
    command = f"{shlex.quote(sys.executable)} -m metarl families HalfCheetahVel {closed}"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
