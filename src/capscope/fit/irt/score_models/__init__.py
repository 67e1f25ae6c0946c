"""The family of score models: how scores follow from log-odds. To add one, write its module and add its entry.

A score model is a class that follows `ScoreModel` (see `score_model`), with `from_scores` and `from_code`.
"""

from capscope.fit.members import Member

_HERE = "capscope.fit.irt.score_models"
SCORE_MODELS: dict[str, Member] = {
    member.name: member
    for member in (
        Member(name="auto", help="right and wrong, or shares of right trials", where=f"{_HERE}.binary:Binary"),
        Member(name="graded", help="ordered grades (Samejima, 1969)", where=f"{_HERE}.graded:GradedResponse"),
        Member(name="continuous", help="draws from a Beta density", where=f"{_HERE}.beta:BetaResponse"),
    )
}
"""Every score model by the name that `--response` takes."""
