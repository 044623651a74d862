"""The ends of error messages about unknown names."""

import pytest

from metarl.envs.nearest import nearest


@pytest.mark.parametrize(
    ("word", "known", "end"),
    [
        ("horizont", ["horizon", "name"], "; did you mean horizon? (there are: horizon, name)"),
        ("x", ["horizon", "name"], " (there are: horizon, name)"),
        ("ab", ["abc", "abd"], "; did you mean abd or abc? (there are: abc, abd)"),
        ("x", [], "; there are none"),
        ("POINT2D", ["Point2D", "AntDir"], "; did you mean Point2D? (there are: Point2D, AntDir)"),
        ("unitree_go1", ["Unitree_GO1"], "; did you mean Unitree_GO1? (there are: Unitree_GO1)"),
    ],
)
def test_a_hint_if_there_is_one_and_all_there_is(word: str, known: list[str], end: str):
    assert nearest(word, iter(known)) == end
