"""Pages agree with the code, what they name exists, and committed runs load."""

import ast
import importlib.util
import json
import re
import runpy
import shlex
from functools import cache
from pathlib import Path

import nbformat
import pytest

import metarl
from metarl import commands, envs
from metarl.algorithms.table import ALGORITHMS
from metarl.cli import COMMANDS
from metarl.completion import _options
from metarl.learner.config import Config
from metarl.sampling.streams import Key, Phase
from tests.test_architecture import DOORS, MAY_IMPORT

ROOT = Path(__file__).parent.parent
RUNS = sorted(path.parent for path in (ROOT / "docs" / "results").glob("*/config.json"))
NOTEBOOK = ROOT / "examples" / "tutorial.ipynb"
CHANGELOG = ROOT / "docs" / "CHANGELOG.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHORT = {
    "total_timesteps=4_000_000": "total_timesteps=40_000",
    "tasks=400": "tasks=4",
    "tasks=40": "tasks=4",
    "rollouts=1, library=library))": "rollouts=1, library=library, tasks=4))",
    'recovery(learner, "2.5:direction=-1")': 'recovery(learner, "2.5:direction=-1", tasks=4)',
    "horizon=200": "horizon=20",
    "learn(3_200)": "learn(320)",
    "learn(3_000_000)": "learn(1)",
    "learn(10_000_000, callback)": "learn(2_000, callback)",
    "every=500_000, tasks=20": "every=1_000, tasks=4",
    "tasks=100": "tasks=4",
    "learn(100_000)": "learn(2_000)",
    'TaskVecEnv("HalfCheetahVel", 20,': 'TaskVecEnv("HalfCheetahVel", 2,',
    "train_similarity(learner)": "train_similarity(learner, tasks=20)",
}
"""What a block that takes long has, and what it has in tests."""


needs_models = pytest.mark.skipif(
    bool(envs.lacking()), reason=f"no models for {', '.join(envs.lacking())}"
)


@needs_models
def test_the_page_of_families_is_that_of_the_catalogue():
    page = runpy.run_path(str(ROOT / "docs" / "make_families.py"))
    assert (ROOT / "docs" / "families.md").read_text() == page["text"]()
    for name in envs.families():
        assert (ROOT / "docs" / "families" / f"{name}.png").is_file()


def test_the_tables_of_results_are_of_their_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "results")
    running = runpy.run_path(str(ROOT / "docs" / "results" / "running.py"))
    page = (ROOT / "docs" / "results" / "README.md").read_text()
    assert f"\n{running['table']()}\n" in page
    assert f"\n{running['rivals']()}\n" in page
    assert f"\n{running['glance']()}\n" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_committed_runs_load_and_carry_what_explains_them(run: Path):
    learner = metarl.load(run, device="cpu")
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["settings"]["trained_timesteps"] == learner.num_timesteps
    config = json.loads((run / "config.json").read_text())
    assert config["versions"]["mujoco"]
    assert config["config"]["seed"] == learner.config.seed
    page = (ROOT / "docs" / "results" / "README.md").read_text()
    mean, (low, high) = evaluation["gain"]["mean"], evaluation["gain"]["ci95"]
    last = evaluation["returns"][-1]
    assert f"{last['mean']:.1f} [{last['ci95'][0]:.1f}, {last['ci95'][1]:.1f}]" in page
    assert low < mean < high


def test_the_picture_of_the_datas_way_is_that_of_its_script():
    script = runpy.run_path(str(ROOT / "docs" / "make_concepts.py"))
    assert (ROOT / "docs" / "concepts.svg").read_text(encoding="utf-8") == script["picture"]()
    rooms = {f"metarl/{box.room}" for box in script["BOXES"]}
    assert all((ROOT / room).is_dir() for room in rooms)


def test_the_table_of_rooms_is_that_of_the_architecture():
    page = (ROOT / "docs" / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", page, flags=re.MULTILINE)
    allowed: dict[str, set[str]] = {}
    for room, words in rows:
        named = set(re.findall(r"`(\w+)`", words))
        assert named or words == "nothing else of metarl"
        inherited = [allowed[name] for name in named if "and what" in words]
        allowed[room] = {room} | named.union(*inherited)
    assert allowed == {room: may for room, may in MAY_IMPORT.items() if room != DOORS}


def test_every_algorithm_has_its_paragraph():
    page = (ROOT / "docs" / "algorithms.md").read_text()
    described = re.findall(r"^\*\*`([\w-]+)`\*\*", page, flags=re.MULTILINE)
    assert sorted(described) == sorted(ALGORITHMS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, heading = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(), flags=re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in anchors, target


@pytest.mark.parametrize("page", [p for p in PAGES if p != CHANGELOG], ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path):
    """Paths in back quotes, as far as they begin with a folder of the repository."""
    folders = "envs|agents|metarl|tests|docs|examples|benchmarks|videos"
    paths = re.findall(rf"`((?:{folders})/[\w./]+)`", page.read_text())
    real = [path for path in paths if not any(word in path for word in ("NAME", "ROOM"))]
    places = (ROOT, ROOT / "metarl")  # the second for envs/ and agents/ of an unpacked sdist
    missing = [path for path in real if not any((place / path).exists() for place in places)]
    assert missing == []


def test_modules_are_where_the_changelog_says():
    moved = re.findall(r"^  \| `([\w.]+)` \| `([\w.]+)` \|$", CHANGELOG.read_text(), re.MULTILINE)
    assert len(moved) > 40
    assert [new for _, new in moved if importlib.util.find_spec(new) is None] == []


def test_the_first_screen_is_that_of_the_site():
    """Its Python runs as part of the page `index`."""
    assert blocks_of_python(ROOT / "README.md") == blocks_of_python(ROOT / "docs" / "index.md")


SMALL_RUNS = """
import metarl
small = {"tasks": 4, "rollouts": 4, "hidden": (8,)}
for folder, algorithm in {"velocity": "siamese", "seed0": "maml-trpo"}.items():
    learner = metarl.MAML("HalfCheetahVel", algorithm=algorithm, **small)
    metarl.train(learner, f"runs/{folder}", 1)
learner = metarl.load("runs/velocity")
other = metarl.MAML("HalfCheetahVel", algorithm="siamese", seed=1, **small)
"""
BEFORE = {
    "evaluation": SMALL_RUNS,
    "similarity": f"""{SMALL_RUNS}
import numpy as np
learner = metarl.load("runs/seed0")
rollouts = learner.sample(learner.family.sample_tasks(1, seed=0), learner.parameters, 2, KEY)
observations, actions, rewards = (list(part[0].numpy()) for part in rollouts[:2] + rollouts[3:4])
final_observations = rollouts.final_observations[0].numpy()
observation, action, reward = observations[0][0], actions[0][0], float(rewards[0][0])
next_observation = observations[0][1]
""",
}
"""What the text of a page takes for granted: runs, and what was recorded."""


def commands_of(page: Path) -> list[list[str]]:
    """The calls of `metarl` in a page's blocks, and in the text between."""
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^ *```(\S*)\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for kind, block in blocks if kind in ("", "bash") for line in block.splitlines()]
    lines += re.findall(r"`(metarl [^`]+)`", text)
    calls = [re.sub(r"^ *(?:exec )?", "", line) for line in lines]
    return [shlex.split(call, comments=True) for call in calls if call.startswith("metarl ")]


@pytest.mark.parametrize("page", [p for p in PAGES if p != CHANGELOG], ids=lambda page: page.name)
def test_commands_of_a_page_exist_with_their_options(page: Path):
    for _, name, *words in commands_of(page):
        if name.startswith("--"):
            assert name in ("--help", "--print-completion")
            continue
        assert name == "COMMAND" or name in COMMANDS, name
        given = {word for word in words if word.startswith("--")} - {"--help"}
        assert given <= options_of(name), f"metarl {name} {' '.join(words)}"


def test_commands_are_found_in_pages():
    assert ["metarl", "resume", "runs/HalfCheetahVel"] in commands_of(ROOT / "README.md")
    assert sum(len(commands_of(page)) for page in PAGES) > 60


@cache
def options_of(name: str) -> set[str]:
    made = {each: make(Config()) for each, make in commands._MADE.items()}
    return {*_options(name, {**commands._COMMANDS, **made}[name]), "--family"}


def blocks_of_python(page: Path) -> list[str]:
    """The Python of a page or of a notebook."""
    if page.suffix == ".md":
        return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    cells = nbformat.read(page, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    return [re.sub(r"^[%!].*", "", source, flags=re.MULTILINE) for source in sources]


@pytest.mark.parametrize("page", [*PAGES, NOTEBOOK], ids=lambda page: page.name)
def test_names_of_metarl_in_python_exist(page: Path):
    for node in (node for block in blocks_of_python(page) for node in ast.walk(ast.parse(block))):
        match node:
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "metarl":
                package = importlib.import_module(module)
                for alias in node.names:
                    part = f"{module}.{alias.name}"
                    is_module = hasattr(package, "__path__") and importlib.util.find_spec(part)
                    assert hasattr(package, alias.name) or is_module, part
            case ast.Attribute(value=ast.Name(id="metarl"), attr=name):
                assert hasattr(metarl, name), name


@pytest.mark.filterwarnings("ignore:.*unlike all that the library knows")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param("evaluation", marks=pytest.mark.slow),
        pytest.param("index", marks=pytest.mark.slow),
        pytest.param("quick_start", marks=pytest.mark.slow),
        pytest.param("gpu"),
        pytest.param("reproducible"),
        pytest.param("robot_log"),
        pytest.param("robots", marks=needs_models),
        pytest.param("similarity", marks=pytest.mark.slow),
        pytest.param("own_environment"),
        pytest.param("migrating"),
        pytest.param("deploy", marks=pytest.mark.slow),
        pytest.param("troubleshooting"),
    ],
)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of_python(ROOT / "docs" / f"{page}.md")
    assert blocks
    names: dict[str, object] = {"__name__": page, "KEY": Key(0, Phase.EVALUATE)}
    exec(BEFORE.get(page, ""), names)
    for block in blocks:
        for long, short in SHORT.items():
            block = block.replace(long, short)
        exec(compile(block, page, "exec"), names)
