"""What the log-probabilities of a reply say of a level, and when they say nothing."""

import math

import pytest

from capscope.annotate.ratings import Reading, _rating, level_probabilities
from capscope.endpoint import TokenChoice


def test_a_token_without_alternatives_is_no_distribution() -> None:
    assert level_probabilities(3, (TokenChoice("3", (("3", -0.1),)),)) is None


def test_alternatives_that_are_levels_sum_to_one() -> None:
    found = level_probabilities(3, (TokenChoice("3", (("3", math.log(0.6)), ("2", math.log(0.2)), ("x", -3.0))),))
    assert found == pytest.approx([0, 0, 0.25, 0.75, 0, 0])


def test_a_level_that_holds_all_probability_has_an_sd_of_nothing() -> None:
    rating = _rating("i", "AS", "", [Reading(3.0, 0.0, 1.0, scored=True)])
    assert (rating.sd, rating.confidence) == (0.0, 1.0)
    assert math.isnan(_rating("i", "AS", "", [Reading(3.0, 0.0, 1.0)]).sd)


EITHER = (("2", math.log(0.7)), ("3", math.log(0.3)))


@pytest.mark.parametrize(
    ("before", "token", "after"),
    [
        ('{"level": ', "2", ', "reasoning": "it needs 4 steps"}'),
        ('"level": ', "2", ".0}"),
        ('"final_level": ', "2", ', "n": 7}'),
        ("'level': ", "2", ", 'max': 5}"),
        ('"level": "Level ', "2", '", "of": 5}'),
        ("“level”： ", "2", ", 5}"),
        ("<level>", "2", "</level> 5"),
        ("the level is ", "2", " since 4 steps are needed"),
        ("The level is: **", "2", "**. It has 3 parts"),
        ("The level is: \\boxed{", "2", "} of 5"),
    ],
)
def test_the_token_after_the_key_counts_wherever_it_stands(before: str, token: str, after: str) -> None:
    tail = (TokenChoice(before, ()), TokenChoice(token, EITHER), TokenChoice(after, ()))
    found = level_probabilities(2, tail)
    assert found is not None
    assert found[2] == pytest.approx(0.7)
    assert level_probabilities(2, (TokenChoice("I pick ", ()), tail[1], TokenChoice(" of 4", ()))) is None
