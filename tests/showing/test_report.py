"""The report in a real browser without a screen, on a wide and on a narrow page, and on paper."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

import metarl
from metarl import envs
from metarl.showing.report import _training, report
from tests.conftest import SMALL

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
QUIET = ("no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    learner = metarl.MAML(envs.make("HalfCheetahVel", horizon=10), seed=3, **SMALL)
    metarl.train(learner, folder, 800)
    shutil.copy(
        Path(__file__).parents[2] / "videos" / "half_cheetah_dir.png", folder / "task_map.png"
    )
    return report(folder, tasks=4, rollouts=4, steps=1, task={"velocity": 1.0}, learner=learner)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no Chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("headless=new", *QUIET):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


def test_needs_no_network(page: Path):
    text = page.read_text()
    assert re.findall(r'(?:src|href|poster)="(?!data:)[^"]*"', text) == []
    assert "url(" not in text
    assert page.name == "report.html"
    left = {path.name for path in page.parent.glob(".*")}
    assert left <= {".lock"}, "nothing half-written is left"


def test_of_a_policy_with_a_memory_it_has_a_film_and_no_changed_parameters(tmp_path: Path):
    family = envs.make("Point2D", horizon=10)
    learner = metarl.MAML(family, seed=3, **{**SMALL, "algorithm": "siamese", "rollouts": 4})
    metarl.train(learner, tmp_path, 1)
    task = {"x": 0.4, "y": 0.3}
    text = report(tmp_path, tasks=4, rollouts=4, steps=1, task=task, learner=learner).read_text()
    assert "data:video/mp4" in text
    assert "Changes of the network" not in text
    assert "Return by what was seen of the task before: quarters of the first episode" in text
    assert "each inner step" not in text


def test_says_what_was_found(page: Path):
    text = page.read_text()
    for words in ("HalfCheetahVel, maml-trpo", "Returns on 4 test tasks", "4 extrapolate tasks"):
        assert words in text
    assert "interquartile mean [95 %]" in text
    assert "velocity 1.00" in text
    assert "after each inner step: every task, and the mean" in text
    assert "inner lr</td><td>0.5" in text


@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(browser: Any, page: Path, width: int):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())
    run = browser.execute_script
    assert run("return document.documentElement.scrollWidth") <= width, "no sideways scrolling"
    images = run("return [...document.images].map(i => [i.complete, i.naturalWidth])")
    assert len(images) >= 5
    assert all(complete and natural > 100 for complete, natural in images)
    played = browser.execute_async_script(
        "const done = arguments[0], film = document.querySelector('video');"
        "film.addEventListener('timeupdate', () => film.currentTime > 0.2 &&"
        " done([film.duration, film.videoWidth, film.error]));"
        "film.play().catch(error => done(String(error)));"
    )
    duration, film_width, error = played
    assert error is None
    assert duration == pytest.approx(11 * 0.05 + 1.0, abs=0.15)
    assert film_width == 976
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_on_paper_pictures_stand_for_the_film(browser: Any, page: Path):
    browser.get(page.as_uri())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return getComputedStyle(document.querySelector(arguments[0])).display"
    assert browser.execute_script(shown, "video") == "none"
    assert browser.execute_script(shown, ".stills") == "block"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_a_run_nothing_is_written(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no run folder or checkpoint"):
        report(tmp_path / "nothing", tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def unmeasured(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of which nothing can be measured."""
    shutil.copy(page.parent / "checkpoint.safetensors", tmp_path)
    shutil.copy(page.parent / "progress.csv", tmp_path)
    monkeypatch.setattr("metarl.showing.report.evaluate", lambda *_, **__: pytest.fail("measured"))
    return tmp_path


def test_a_place_that_cannot_be_written_to_shows_before_all_is_measured(unmeasured: Path):
    with pytest.raises(OSError, match=r"/proc/nothing/.* cannot be written"):
        report(unmeasured, "/proc/nothing/report.html")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"velocty": 1.0}, "velocity"),
        ({}, "velocity"),
        ({}, "task must be a single one, got 2"),
    ],
)
def test_a_task_that_cannot_be_filmed_shows_before_all_is_measured(
    unmeasured: Path, task: Any, message: str
):
    learner = metarl.load(unmeasured)
    if message.startswith("task"):
        task = learner.family.sample_tasks(2, seed=0)
    with pytest.raises(ValueError, match=message):
        report(unmeasured, task=task, learner=learner)
    assert not list(unmeasured.glob("*report*"))


def test_a_foreign_progress_file_is_named(unmeasured: Path):
    (unmeasured / "progress.csv").write_text("steps\n5\n")
    with pytest.raises(ValueError, match=r"progress\.csv cannot be read: it lacks the column"):
        report(unmeasured)
    assert not list(unmeasured.glob("*report*"))


def test_a_half_written_iteration_is_left_out(unmeasured: Path):
    path = unmeasured / "progress.csv"
    whole = _training(path)
    with path.open("a") as file:
        file.write("0.5,12")
    assert _training(path) == whole
    for text in (path.read_text().splitlines()[0] + "\n", ""):
        path.write_text(text)
        assert _training(path) is None, "no iteration, no figure"
