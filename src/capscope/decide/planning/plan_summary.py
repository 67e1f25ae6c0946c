"""Text of an evaluation plan for a terminal: the answer, then tables and notes."""

from collections.abc import Iterator

from capscope.decide.planning.evaluation_plan import EFFECTS, EvaluationPlan
from capscope.errors import counted


def plan_text(plan: EvaluationPlan) -> str:
    """Return the answer, the table of sizes, variance shares, designs and notes.

    Args:
        plan: The plan.
    """
    parts = [_head(plan), *_sizes(plan), *_components(plan), plan.sentence, *_designs(plan), *_ranks(plan)]
    return "\n".join([*parts, *_costs(plan), *_labels(plan), *(f"Note: {note}." for note in plan.notes)])


def _head(plan: EvaluationPlan) -> str:
    settings = plan.settings
    wanted = f"A difference of {100 * settings.difference:g} points is shown with a power of {settings.power:.0%}"
    if plan.power is None:
        return f"{wanted} on new items by the designs below."
    behind = (
        f"({100 * settings.level:g} % intervals, decisions simulated on"
        f" {counted(plan.power.n_pairs, 'pair')} of past models)"
    )
    if plan.answers is None:
        return f"{wanted} by no number of answers to this suite of {plan.power.n_items} items {behind}."
    text = f"{wanted} by {counted(plan.answers, 'answer')} of {plan.power.n_items} items {behind}."
    if settings.precision is None:
        return text
    narrow = plan.power.answers_for_precision(settings.precision)
    many = counted(narrow, "answer") if narrow else "no number of answers to this suite"
    return f"{text}\nAn interval of +-{100 * settings.precision:g} points takes {many}."


def _sizes(plan: EvaluationPlan) -> Iterator[str]:
    """Power by number of answers."""
    rows = plan.size_rows()
    if not rows:
        return
    effects = [f"{100 * effect:g}pp" for effect in EFFECTS]
    yield f"  answers  {'  '.join(f'{effect:>5}' for effect in effects)}  shows, pp  plain pairs show, pp  +-, pp"
    for row in rows:
        power = "  ".join(f"{row[f'power_{effect}']:5.2f}" for effect in effects)
        yield (
            f"  {row['answers']:>7}  {power}  {row['detectable_pp']:9.1f}  {row['paired_detectable_pp']:20.1f}"
            f"  {row['half_width_pp']:6.1f}"
        )
    yield f"  {effects[0]} to {effects[-1]}: power, the chance that a true difference of so many points is shown;"
    yield "  shows: the difference that is shown with the wanted power; plain pairs: the same without past models;"
    yield "  +-: half the width of the interval."


def _components(plan: EvaluationPlan) -> Iterator[str]:
    """Variance components of single scores."""
    shares = [
        f"{found.name} {100 * found.share:.0f} % ({100 * found.share_lower:.0f} to {100 * found.share_upper:.0f})"
        for found in plan.components.components
    ]
    what = "runs" if plan.components.runs_known else "single items and runs together"
    yield f"Variance of single scores: {', '.join(shares)}; the residual is that of {what}."


def _designs(plan: EvaluationPlan) -> Iterator[str]:
    """The cheapest designs on new items."""
    for number, design in enumerate(plan.designs[:3]):
        head = "Cheapest design on new items" if number == 0 else "Next"
        counts = {"run": design.runs, "prompt": design.prompts, "judge": design.judges}
        more = "".join(f" x {count} {name}s" for name, count in counts.items() if count > 1)
        facets = f"{counted(design.items, 'item')}{more or ' once'}"
        yield f"{head}: {facets}, cost {design.cost:.4g} a model, reliability {design.reliability:.2f}."
    if plan.runs is not None:
        yield f"Best number of runs of each question: {plan.runs}."


def _ranks(plan: EvaluationPlan) -> Iterator[str]:
    """Agreement of rankings over draws."""
    for agreement in plan.ranks:
        yield (
            f"Another draw of {agreement.levels} {agreement.facet}s ranks models with an agreement of"
            f" {agreement.agreement:.2f} (Kendall's tau; reliability of the decision {agreement.lower:.2f})."
        )


def _costs(plan: EvaluationPlan) -> Iterator[str]:
    """Expected costs."""
    for cost in plan.costs:
        if cost.answers in (plan.answers, plan.components.n_items):
            yield (
                f"{counted(cost.answers, 'answer')} cost ${cost.usd:.2f} (80 % interval {cost.lower:.2f} to"
                f" {cost.upper:.2f})."
            )


def _labels(plan: EvaluationPlan) -> Iterator[str]:
    """Further labels of each model."""
    if plan.labels:
        width = 100 * plan.settings.label_width
        most = max(plan.labels.values())
        yield (
            f"Judge-corrected scores {width:g} points wide take {sum(plan.labels.values())} more labels over"
            f" {counted(len(plan.labels), 'model')}, at most {most} of one."
        )
