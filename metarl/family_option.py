"""Families of one's own on the command line, named by the function that returns them.

`arm.py:family` is the function `family` of the file `arm.py`, and `project.arms:family` that of the
module `project.arms`. What is named is imported, so a name is taken from the command line alone: a
run folder keeps it, but only to be shown, since run folders may be from untrusted sources.
"""

import dataclasses
import importlib
import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import cloudpickle
from tyro.conf import arg

from metarl import envs
from metarl.envs import catalogue
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.own_code import in_words, place
from metarl.envs.task_family import TaskFamily
from metarl.pretrained.policies import is_pretrained

if TYPE_CHECKING:
    from metarl.learner.maml import MAML

OwnFamily = TaskFamily | ForeignFamily
FORM = "MODULE:FUNCTION or FILE.py:FUNCTION"
_REFERENCE = re.compile(r"[^:]+.*:[^\W\d]\w*")
_OF_THE_RUN = ("horizon", "reveals_task", "sensor_noise")
"""Fields of a family that options of `metarl train` change: a run's, not the function's."""


FamilyOption = Annotated[str | None, arg(metavar="MODULE:FUNCTION|FILE.py:FUNCTION")]


@dataclass(frozen=True)
class RunSettings:
    """How a run is loaded."""

    family: FamilyOption = None
    """The function that returns the family of the run, when it is not one of the catalogue's."""
    device: str = "auto"
    """Where updates run: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    threads: int = 0
    """Threads of the simulator and of updates on the CPU; 0 for all cores."""
    cluster: str | None = None
    """A Ray cluster that the learner's rollouts are sampled on: ray, ray:auto or ray:HOST:PORT, as
    `--workers` of `metarl train`; the results are identical."""

    def learner(self, run_folder: Path) -> "MAML":
        """Return the learner of a run folder or a checkpoint.

        Raises:
            ValueError: for a value that is not allowed, or a run that cannot be loaded.
        """
        from metarl.learner.config import check_cluster
        from metarl.learner.runs import load

        settings: dict[str, Any] = {"device": self.device, "threads": self.threads}
        if self.cluster is not None:
            settings["workers"] = check_cluster(self.cluster)
        return load(run_folder, family=run_family(run_folder, self.family), **settings)


@dataclass(frozen=True)
class Variant:
    """What is changed of the family that is named."""

    preset: str = "default"
    """A published variant of the family; see `metarl families FAMILY`."""
    horizon: int | None = None
    """Control steps in an episode; the family's own when left out."""
    reveal_task: bool = False
    """Let the policy observe the task; with `--algorithm pretrain`, this shows what adaptation
    could reach at best."""
    sensor_noise: float = 0.0
    """Standard deviation of noise on every number that the robot observes, in its units."""

    def of(self, family: str) -> envs.Family:
        """Return the variant of a family of the catalogue, or of the one that a function returns.

        Raises:
            ValueError: when there is no such family or preset.
        """
        changes: dict[str, Any] = {} if self.horizon is None else {"horizon": self.horizon}
        if self.reveal_task:
            changes["reveals_task"] = True
        if self.sensor_noise:
            changes["sensor_noise"] = self.sensor_noise
        if not (is_reference(family) or family.endswith(".py")):
            return envs.make(family, preset=self.preset, **changes)
        if self.preset != "default":
            raise ValueError(
                f"{family} has no preset {self.preset!r}: only the catalogue has presets"
            )
        return changed(family_of(family), changes)


def is_reference(words: str) -> bool:
    """Return whether these words name a function, rather than a family of the catalogue."""
    return _REFERENCE.fullmatch(words) is not None


@cache
def family_of(reference: str) -> OwnFamily:
    """Return the family that a function returns; its module is imported.

    Args:
        reference: MODULE:FUNCTION, where the module is looked for in the working folder first, or
            FILE.py:FUNCTION, which may import what stands beside the file, as a script may.

    Raises:
        ValueError: when there is no such file, module or function, when its code fails, or when it
            returns something else; in one line.
    """
    if is_pretrained(reference):
        raise ValueError(
            f"{reference} is a policy, not a family: metarl train {reference.partition(':')[2]} "
            "begins a run of its family"
        )
    if not is_reference(reference):
        raise ValueError(f"a family of one's own is named {FORM}, got {reference!r}")
    where, _, name = reference.rpartition(":")
    is_file = where.endswith(".py")
    if is_file and not Path(where).is_file():
        raise ValueError(f"there is no file {where} to take the family {reference} from")
    folder = str(Path(where).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = _module_of_file(Path(where)) if is_file else importlib.import_module(where)
        function = getattr(module, name, None)
        family = function() if callable(function) else function
    except Exception as error:
        raise ValueError(f"{reference} failed{place(error)}: {in_words(error)}") from error
    if function is None:
        raise ValueError(f"{where} has no function {name!r} to return a family")
    if not isinstance(family, OwnFamily):
        raise ValueError(
            f"{reference} must return a TaskFamily or a ForeignFamily, got {type(family).__name__}"
        )
    return family


def changed(family: OwnFamily, fields: Mapping[str, Any]) -> OwnFamily:
    """Return a family with some of its fields changed, as far as they differ.

    Raises:
        ValueError: for a field that the family does not have.
    """
    if isinstance(family, ForeignFamily) and fields.get("sensor_noise"):
        raise ValueError(f"{family.name} has no sensor noise: its environment observes for it")
    different = {name: value for name, value in fields.items() if getattr(family, name) != value}
    if "reveals_task" in different and isinstance(family, ForeignFamily):
        raise ValueError(f"{family.name} cannot reveal the task: its environment observes for it")
    return dataclasses.replace(family, **different)


def run_family(run_folder: Path, reference: str | None) -> OwnFamily | None:
    """Return the family of a run as `load` takes it: None for the catalogue's.

    Args:
        run_folder: a run folder or a checkpoint in one.
        reference: of a function, from the command line.

    Raises:
        ValueError: when the run needs a reference and none is given; the message has the option to
            add.
    """
    from metarl.learner import state
    from metarl.learner.runs import CHECKPOINT
    from metarl.pretrained.policies import is_pretrained

    if is_pretrained(run_folder):
        if reference is not None:
            raise ValueError(f"{run_folder} is of a family of the catalogue: leave --family out")
        return None
    checkpoint = run_folder / CHECKPOINT if run_folder.is_dir() else run_folder
    try:
        saved = state.read(checkpoint).family
    except (FileNotFoundError, ValueError):
        return None  # none or a damaged one: who loads it says so, with what helps
    if reference is not None:
        return changed(family_of(reference), {n: saved[n] for n in _OF_THE_RUN if n in saved})
    kept = _kept(checkpoint.parent)
    if kept is None and catalogue.knows(saved["name"]):
        return None
    option = family_words(kept or FORM.replace(" or ", "|"))
    raise ValueError(
        f"{run_folder} was trained on {saved['name']}, a family of one's own; "
        f"name the function that returns it:{option}"
    )


def family_words(reference: str | None) -> str:
    """Return the option that names a family, to be shown behind a command; nothing for None."""
    return "" if reference is None else f" --family {shlex.quote(reference)}"


def _kept(folder: Path) -> str | None:
    """Return the reference that a run folder keeps, if it has one that could be meant."""
    from metarl.learner.runs import CONFIG

    try:
        kept: Any = json.loads((folder / CONFIG).read_text()).get("family_reference")
    except (OSError, ValueError, AttributeError):
        return None
    # it is shown in a terminal: no control characters of any kind
    return kept if isinstance(kept, str) and kept.isprintable() and is_reference(kept) else None


def _module_of_file(path: Path) -> ModuleType:
    # a name of its own, so that a file random.py hides no module; worker processes, which cannot
    # import that name, get the file's functions and classes by value
    name = f"metarl_family_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module
