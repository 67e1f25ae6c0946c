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
