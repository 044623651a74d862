"""How settings stand on the command line: in groups, with the docstrings of their fields."""

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from tyro.conf import OmitArgPrefixes, arg

from metarl.learner.config import Config


class Group(NamedTuple):
    """Settings under one heading."""

    summary: str
    settings: tuple[str, ...]


GROUPS = {
    "usual": Group(
        "Set most often. All defaults are those of the family, preset and algorithm.",
        ("algorithm", "seed", "tasks", "rollouts", "inner_lr", "inner_steps", "hidden", "context"),
    ),
    "experience": Group(
        "How rollouts are turned into returns and advantages.",
        ("discount", "gae_lambda", "baseline", "normalise_advantages", "reward_scale"),
    ),
    "policy": Group(
        "The network that acts.",
        ("activation", "initial_std", "initial_gain", "min_std", "normalise_observations"),
    ),
    "inner_step": Group("The adaptation.", ("inner_loss", "learned_rates", "context_size")),
    "outer_step": Group(
        "How common parameters are improved.",
        (
            *("max_kl", "cg_iterations", "cg_damping", "fisher_fraction"),
            *("backtrack_ratio", "max_backtracks"),
            *("outer_lr", "outer_epochs", "minibatch", "clip_ratio"),
            *("entropy_bonus", "inner_kl_penalty", "exploration_weight", "interpolation"),
        ),
    ),
    "memory": Group(
        "For a policy that remembers its task: `--context siamese`, the default of `siamese`.",
        ("episodes", "changes", "told", "embedding_size", "encoder_steps", "encoder_lr"),
    ),
    "machine": Group("Where it runs; the results are the same.", ("device", "threads", "workers")),
}
"""The fields of `Config`, each in one group."""


def documented(kind: type) -> type:
    """Hand a dataclass's docstrings to tyro as paragraphs, which it breaks where the source does.

    Args:
        kind: a dataclass whose source can be read; changed in place.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    for name, text in _docstrings(kind).items():
        shown = _shown(kind.__annotations__[name], defaults[name])
        kind.__annotations__[name] = Annotated[shown, arg(help=text)]
    return kind


def readable(command: Callable[..., None]) -> Callable[..., None]:
    """Make a paragraph of each argument's text in a docstring; say no default where none is."""
    command.__doc__ = re.sub(r"\n {8,}", " ", inspect.cleandoc(command.__doc__ or ""))
    for name, parameter in inspect.signature(command).parameters.items():
        command.__annotations__[name] = _shown(parameter.annotation, parameter.default)
    return command


def _shown(annotation: Any, default: object) -> Any:  # noqa: ANN401
    """Return the annotation of an option, for tyro.

    One that may be left out is shown as `--out PATH`, not as `--out {None}|PATH` with a default of
    None: its text has what happens then. Of arguments that must be at least one, tyro says that
    their default is none.
    """
    bare, *extras = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if default is inspect.Parameter.empty and get_origin(bare) is tuple:
        return Annotated[annotation, arg(help_behavior_hint="(required)")]
    if default == ():
        return Annotated[annotation, arg(help_behavior_hint="")]
    if default is not None:
        return annotation
    kinds = [kind for kind in get_args(bare) if kind is not type(None)]
    words = "|".join(kind.__name__.upper() for kind in kinds)
    # of two arguments of `arg`, the later one holds: an option's own metavar
    return Annotated[(bare, arg(metavar=words, help_behavior_hint=""), *extras)]  # type: ignore[return-value]


def in_groups(start: Config) -> Any:  # noqa: ANN401
    """Return the annotation of a parameter that takes a `Config`, for tyro.

    Args:
        start: the defaults.
    """
    texts = _docstrings(Config)

    def config(**groups: Any) -> Config:  # noqa: ANN401
        values = [dataclasses.asdict(group) for group in groups.values()]
        return Config(**dict(itertools.chain.from_iterable(each.items() for each in values)))

    lines = []
    parameters = []
    for title, group in GROUPS.items():
        fields = [
            (
                name,
                Annotated[Config.__annotations__[name], arg(help=texts[name])],
                dataclasses.field(default=getattr(start, name)),
            )
            for name in group.settings
        ]
        kind = dataclasses.make_dataclass(title, fields, frozen=True)
        lines.append(f"    {title}: {group.summary}")
        shown = OmitArgPrefixes[kind]
        parameters.append(
            inspect.Parameter(
                title, inspect.Parameter.KEYWORD_ONLY, default=kind(), annotation=shown
            )
        )
        config.__annotations__[title] = shown
    made: Callable[..., Config] = config
    made.__doc__ = "\n".join(["Settings.", "", "Args:", *lines])
    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return OmitArgPrefixes[Annotated[Config, arg(name="", constructor=made)]]


def _docstrings(kind: type) -> dict[str, str]:
    """Return the docstring of each field of a dataclass, as one paragraph."""
    (definition,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, below in itertools.pairwise(definition.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                texts[name] = " ".join(text.split())
    return texts
