"""What each number on a page means, in one sentence or two."""

from capscope.fit import FEW_ANSWERS
from capscope.profiles import SENSITIVE_MEAN, SENSITIVE_SD

Definitions = list[dict[str, str]]

CURVES = {
    "Demand level": "How much of a scale a question asks for, from 0 (nothing) to 5 (very much), rated after a written"
    " rubric.",
    "Curve": "A model's chance of success against the demand level of one scale, on questions where no other scale"
    " demands more.",
    "Ability": "The area under that curve from level 0 to 10, in demand levels: about the level at which the model has"
    " even odds. Above 5 it is extrapolated, since no question demands more than 5.",
    "Overall ability": "The mean of a model's abilities over all scales, in demand levels.",
    "Classical ability": "The same area by the published recipe: one weighted logistic regression for each model and"
    " scale, without an interval.",
    "Interval": "The range that holds the true value with a probability of {level}, given the statistical model and the"
    " counts.",
    "General factor": "The one number per model that best explains its whole profile; its share is the part of the"
    " variance of all profiles that it carries (first principal component of the standardised abilities).",
    "Beyond general ability": "How far a chance of success at level 3 lies from what the model's general ability"
    " predicts; it is clear where the {level} interval of the difference (in log-odds) leaves out zero. One clear"
    " difference among many may be luck.",
    "Chance": "The predicted probability that a model gets a question right, from the curves of the scales that demand"
    " most of it; its interval covers what is unknown about the curves and about questions of such demands.",
    "Predicted score": "The share of the questions that a model will get right; its interval adds that each question is"
    " passed or failed as a whole.",
    "Outside support": "Fewer than {few} answers per model, or no demand at all, stand behind a prediction: read it as"
    " a guess.",
    "Ahead": "The share of the posterior draws in which one model's overall ability is larger than the other's.",
    "Predicted and observed": "Answers are put in ten bins by predicted chance; a bin's observed share is what came."
    " The mean distance of the two, over answers, is the expected calibration error.",
    "Sensitive": "A question set is sensitive to a scale when its levels have a mean of at least {mean:g} and a"
    " standard deviation of at least {sd:g}.",
}
"""Terms of a page on characteristic curves."""

IRT = {
    "Ability": "A model's place on the scale that explains its answers; mean 0 and variance 1 over the models.",
    "Difficulty": "The ability at which success has even odds (less what a guess gives), on the same scale as ability.",
    "Discrimination": "How steeply the chance rises with ability: near 0 the item tells nothing, below 0 better models"
    " fail it and its key may be wrong. In a Rasch model it is the same for all items.",
    "Ahead": "The share of the posterior draws in which one model's expected share right, over the fit's items, is"
    " larger than the other's.",
    "Interval": "The range that holds the true value with a probability of {level}, given the statistical model and the"
    " answers.",
}
"""Terms of a page on an item response fit."""

AUDIT = {
    "Chance of a finding": "The posterior probability that an item or a model is what it is listed for, given the"
    " answers and texts; how frequent such faults are is learnt from the same study.",
    "Listed": "The most probable findings of a kind, as many as keep the expected share of ordinary ones among them"
    " below the stated rate. Read the item before you change it.",
    "Wrong key": "The better a model, the more often it fails: what one sees where a right answer is marked wrong.",
    "Out of step": "A model's marks do not go with the difficulty of the items they stand against, though those of"
    " models as good do: its rows may be shifted or mixed.",
}
"""Terms of the section on odd items."""


def definitions(terms: dict[str, str], level: float) -> Definitions:
    """Fill the numbers into the meanings, in the order of the terms."""
    numbers = {"level": f"{level:.0%}", "few": FEW_ANSWERS, "mean": SENSITIVE_MEAN, "sd": SENSITIVE_SD}
    return [{"term": term, "meaning": meaning.format(**numbers)} for term, meaning in terms.items()]
