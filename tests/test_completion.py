"""Tab completion, as bash asks for it: commands, families, policies, options and their values."""

import shutil
import subprocess
from pathlib import Path

import pytest

from metarl import commands, envs
from metarl.cli import COMMANDS
from metarl.pretrained.policies import names
from tests.test_cli import metarl


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "metarl.bash"
    done = metarl("--print-completion", "bash")
    assert done.returncode == 0
    path.write_text(done.stdout)
    return path


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last of these words, which it has parted at colons."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _metarl"
    code += '; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["metarl", "ev"], {"evaluate"}),
        (["metarl", ""], {*COMMANDS}),
        (["metarl", "train", "HalfCheetahV"], {"HalfCheetahVel"}),
        (["metarl", "tune", ""], {*envs.families()}),
        (["metarl", "train", "Point2D", "--alg"], {"--algorithm"}),
        (["metarl", "train", "Point2D", "--algorithm", "sia"], {"siamese"}),
        (["metarl", "tune", "Point2D", "--tri"], {"--trials"}),
        (["metarl", "render", "x", "--renderer", ""], {"auto", "opengl", "rays"}),
        (["metarl", "evaluate", "pre"], {f"pretrained:{name}" for name in names()}),
        (["metarl", "evaluate", "pretrained", ":", "HalfCheetahV"], {"HalfCheetahVel"}),
        (["metarl", "evaluate", "pretrained", ":"], {*names()}),
        (["metarl", "train", "Point2D", "--out", ""], set()),
        (["metarl", "evaluate", "x", "--library", ""], set()),
        (["metarl", "demo", ""], set()),
        (["metarl", "demo", "--"], {"--out", "--total-timesteps", "--seed"}),
    ],
)
def test_what_is_offered(script: Path, words: list[str], expected: set[str]):
    assert completed(script, *words) == expected


def test_every_command_offers_its_options(script: Path):
    for name in COMMANDS:
        assert completed(script, "metarl", name, "--"), name
    assert {*commands._COMMANDS, *commands._MADE} == {*COMMANDS}


def test_zsh_reads_it_through_its_own_bridge(script: Path):
    done = metarl("--print-completion", "zsh")
    first, second, rest = done.stdout.split("\n", 2)
    assert first == "#compdef metarl"
    assert "bashcompinit" in second
    assert rest == script.read_text()
    done = metarl("--print-completion", "fish")
    assert done.returncode == 2
    assert "bash" in done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_runs_it():
    code = f"autoload -U compinit && compinit -u\n{metarl('--print-completion', 'zsh').stdout}"
    subprocess.run(["zsh", "-f", "-c", code], check=True)
