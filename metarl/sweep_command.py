"""The command `sweep`: several seeds and settings, here or on a cluster."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from metarl.commands_of_training import RUNS, defaults_for
from metarl.envs.family import Family
from metarl.envs.plain import whole
from metarl.family_option import Variant
from metarl.learner.config import MACHINE, Config, check_cluster
from metarl.options import documented, in_groups
from metarl.system.stopping import exit_stopped

if TYPE_CHECKING:
    from metarl.sweep import Run, Training
    from metarl.sweep_grid import Point


@dataclass(frozen=True)
class Points:
    """Which runs a sweep has."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """A run each, at every point of the grid."""
    grid: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE,VALUE ...")] = ()
    """Values of settings, such as inner_lr=0.05,0.1 hidden=64x64,100x100; every combination of
    them."""


@dataclass(frozen=True)
class Places:
    """Where the runs of a sweep are trained."""

    side_by_side: int = 0
    """Runs at a time, which share the cores; one a core when 0."""
    cluster: str | None = None
    """A Ray cluster that the runs are tasks of: ray, ray:auto or ray:HOST:PORT, as `--workers` of
    `metarl train`. Its nodes must see the same folders."""

    def found(self, runs: int) -> "tuple[int, Callable[[Run], Training]]":
        """Return how many runs are trained at a time, and the function that begins one.

        Args:
            runs: of the sweep.

        Raises:
            ValueError: for a value that is not allowed, or when the cluster cannot be had.
        """
        from metarl.sweep import TrainingHere
        from metarl.system.cores import cores

        whole("side_by_side", self.side_by_side, 0)
        if self.cluster is not None:
            check_cluster(self.cluster)
            from metarl.sweep_on_cluster import Cluster

            cluster = Cluster(self.cluster, runs, self.side_by_side)
            return cluster.count, cluster.begin
        count = min(runs, self.side_by_side or cores())
        return count, lambda run: TrainingHere(run, max(1, cores() // count))


_NAMED = 3
"""Runs that failed whose reasons are told."""

for _kind in (Points, Places):
    documented(_kind)


def sweep_command(start: Config, named: Collection[str] = ()) -> Callable[..., None]:
    """Return the command `sweep`, whose settings have these defaults.

    Args:
        start: the defaults.
        named: the settings that are given, whether or not as they are at their defaults.
    """

    def sweep(
        family: Positional[str],
        config: Config,
        out: Path | None = None,
        points: OmitArgPrefixes[Points] = Points(),
        total_timesteps: int = 10_000_000,
        variant: OmitArgPrefixes[Variant] = Variant(),  # noqa: B008
        places: OmitArgPrefixes[Places] = Places(),
    ) -> None:
        """Train several seeds, and a grid of settings, side by side; then show a table.

        Args:
            family: As of `metarl train`.
            config: Settings of all runs; the seed is that of `--seeds`.
            out: The folder of the run folders, runs/FAMILY-sweep when left out; called again, the
                command resumes what is there.
            points: Which runs there are.
            total_timesteps: Environment steps of each run.
            variant: Of the family.
            places: Where the runs are trained.
        """
        from metarl import sweep as sweeping
        from metarl.sweep_grid import changed, grid_of, option, options

        grid = grid_of(points.grid)
        names = {"algorithm", *named} - _in_grid(grid, named) - {"seed"}
        given = [
            *options(config, names),
            *options(variant, changed(variant)),
            *option("total_timesteps", total_timesteps),
        ]
        made = variant.of(family)
        folder = out or RUNS / f"{made.name}-sweep"
        runs = [
            replace(run, total_timesteps=total_timesteps)
            for run in sweeping.runs_of(family, folder, points.seeds, grid, given)
        ]
        _check(runs, made, {n: v for n, v in asdict(config).items() if n in names})
        count, begin = places.found(len(runs))
        try:
            codes = sweeping.side_by_side(runs, count, begin)
        except KeyboardInterrupt as stopped:
            exit_stopped(stopped, "stopped; the same command resumes all runs")
        rows = list(sweeping.table(runs))
        for row in rows:
            noun = "seed" if row.seeds == 1 else "seeds"
            print(f"{row.setting}, {row.seeds} {noun}: return {row.before} -> {row.after}")
        if rows:
            print(f"table: {sweeping.save(rows, folder)}")
        ended = zip(runs, codes, strict=True)
        failed = [sweeping.failure(run, code) for run, code in ended if code]
        if failed:
            more = [f"{len(failed) - _NAMED} more failed"] if len(failed) > _NAMED else []
            raise ValueError("; ".join([*failed[:_NAMED], *more]))

    sweep.__annotations__["config"] = in_groups(start)
    return sweep


def _in_grid(grid: "Sequence[Point]", named: Collection[str]) -> set[str]:
    """Return the settings of a grid; raise a ValueError for one that an option gives too."""
    found = {name for name, _ in grid[0]}
    for name in sorted(found & {*named}):
        raise ValueError(f"{name} is given by an option and by the grid: leave one of them out")
    return found


def _check(runs: "Sequence[Run]", family: Family, changed: Mapping[str, Any]) -> None:
    """Check all runs of a sweep before any begins.

    Args:
        runs: with their environment steps.
        family: of all of them.
        changed: settings that were given to all of them.

    Raises:
        ValueError: for a value that is not allowed, or a run that was begun with other settings.
    """
    from metarl.sweep import check_begun
    from metarl.sweep_grid import settings_at

    described = {name: value for name, value in family.describe().items() if name != "source"}
    for run in runs:
        whole("total_timesteps", run.total_timesteps)
        own = {**changed, **settings_at(run.point), "seed": run.seed}
        settings = replace(defaults_for(run.words[1:]), **own)
        settings.check()
        kept = settings.kept().items()
        check_begun(run, described, {name: value for name, value in kept if name not in MACHINE})
