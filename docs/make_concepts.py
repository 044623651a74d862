"""Writes concepts.svg, the picture of the data's way through an iteration and through adaptation.

python docs/make_concepts.py
"""

from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 1000, 810
BOX = (200, 112)
COLUMNS = (30, 277, 523, 770)
"""Left edge of a box in each column."""
ROWS = (58, 248, 448, 638)
"""Top edge of a box in each row."""

ASIDE = 'font-style="italic" fill="#444"'
BOLD = 'font-weight="bold"'
COLOURS = {
    "envs": "#dcebdc",
    "sampling": "#dbe7f5",
    "experience": "#e9e2f3",
    "algorithms": "#fbe8d3",
    "skills": "#f6dde2",
    "learner": "#ececec",
    "agents": "#fdf3c8",
}
"""Of the rooms."""

HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"
  viewBox="0 0 {WIDTH} {HEIGHT}" fill="#222"
  font-family="Helvetica, Arial, DejaVu Sans, sans-serif">
<title>The way of the data through an iteration and through adaptation</title>
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
  orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#444"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>
"""


class Box(NamedTuple):
    """One station of the data."""

    row: int
    column: int
    title: str
    room: str
    """The folder of metarl/ where it happens."""
    lines: tuple[str, str]
    """What happens, and what comes out with its axes."""


BOXES = (
    Box(0, 0, "Tasks", "envs", ("drawn from the family", "goals and bodies [task]")),
    Box(0, 1, "Rollouts D", "sampling", ("θ acts in every task", "[task, rollout, time]")),
    Box(0, 2, "Advantages A", "experience", ("against a linear baseline", "[task, rollout, time]")),
    Box(0, 3, "Inner step", "algorithms", ("θ_T = θ - α ∇L(θ; D, A)", "parameters [task, ...]")),
    Box(1, 3, "Rollouts D′", "sampling", ("θ_T acts in its own task", "[task, rollout, time]")),
    Box(1, 2, "Advantages A′", "experience", ("as before", "[task, rollout, time]")),
    Box(1, 1, "Surrogate", "algorithms", ("F(θ) = -E[ρ A′]", "∇F and Fisher products [θ]")),
    Box(1, 0, "Outer step", "algorithms", ("trust region: KL at most δ", "new θ")),
    Box(2, 0, "New task", "envs", ("never seen in training,", "or the log of a robot")),
    Box(2, 1, "Rollouts", "sampling", ("θ acts, from one rollout on", "[rollout, time]")),
    Box(
        2,
        2,
        "Inner steps",
        "algorithms",
        ("as in training; a library of", "skills may give the first"),
    ),
    Box(2, 3, "Adapted policy", "learner", ("acts, is evaluated, filmed,", "exported, trained on")),
    Box(3, 0, "Transition", "experience", ("what was seen, done and", "earned: (s, a, r, s′)")),
    Box(3, 1, "Siamese encoder", "agents", ("embeds each transition;", "a running sum, a count")),
    Box(3, 2, "Context z", "agents", ("where the task lies among", "known ones [embedding]")),
    Box(
        3,
        3,
        "Policy π(a | s, z)",
        "agents",
        ("acts on it at once, with no", "gradient step [action]"),
    ),
)


def text(x: float, y: float, words: str, size: int = 13, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" {style}>{escape(words)}</text>\n'


def draw(box: Box) -> str:
    x, y = COLUMNS[box.column], ROWS[box.row]
    width, height = BOX
    frame = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" '
        f'fill="{COLOURS[box.room]}" stroke="#888"/>\n'
    )
    room = text(x + 10, y + height - 12, f"metarl/{box.room}", 12, 'fill="#555"')
    title = text(x + 10, y + 22, box.title, 15, 'font-weight="bold"')
    first, second = box.lines
    return frame + title + room + text(x + 10, y + 47, first) + text(x + 10, y + 68, second)


def arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    path = "L".join(f"{x} {y}" for x, y in points)
    dash = 'stroke-dasharray="6 4"' if dashed else ""
    return f'<path d="M{path}" fill="none" stroke="#444" {dash} marker-end="url(#head)"/>\n'


def across(row: int, *, backwards: bool = False) -> str:
    """Arrows from each box of a row to the next."""
    y = ROWS[row] + BOX[1] / 2
    gaps = [((left + BOX[0] + 4, y), (right - 4, y)) for left, right in pairwise(COLUMNS)]
    return "".join(arrow(*(reversed(gap) if backwards else gap)) for gap in gaps)


def between_the_stages() -> str:
    """The arrows between the two rows of an iteration."""
    tasks, rollouts, advantages, inner = (left + BOX[0] / 2 for left in COLUMNS)
    above, below = ROWS[0] + BOX[1] + 4, ROWS[1] - 4
    y = (above + below) / 2
    left, right = rollouts - 40, rollouts + 40
    return "".join(
        [
            arrow((inner, above), (inner, below)),
            arrow((tasks, below), (tasks, y), (left, y), (left, above)),
            text(tasks + 10, y - 8, "θ of the next iteration", 12, ASIDE),
            arrow((advantages, above), (advantages, y), (right, y), (right, below), dashed=True),
            text(right + 10, y + 18, "∇F passes through the inner step", 12, ASIDE),
        ]
    )


def back_while_running() -> str:
    """The arrow from the action to the next transition."""
    first, last = COLUMNS[0] + BOX[0] / 2, COLUMNS[-1] + BOX[0] / 2
    below = ROWS[3] + BOX[1] + 4
    path = arrow((last, below), (last, below + 24), (first, below + 24), (first, below))
    return path + text(COLUMNS[1] + 10, below + 42, "every control step", 12, ASIDE)


def picture() -> str:
    """The picture as SVG."""
    parts = [
        HEAD,
        text(COLUMNS[0], ROWS[0] - 24, "Training: one iteration", 17, BOLD),
        across(0),
        between_the_stages(),
        across(1, backwards=True),
        text(COLUMNS[0], ROWS[2] - 24, "Afterwards: adaptation to a new task", 17, BOLD),
        across(2),
        text(COLUMNS[0], ROWS[3] - 24, "Or while it runs: the encoder tells the task", 17, BOLD),
        across(3),
        back_while_running(),
        *map(draw, BOXES),
        "</svg>\n",
    ]
    return "".join(parts)


if __name__ == "__main__":
    (DOCS / "concepts.svg").write_text(picture(), encoding="utf-8")
