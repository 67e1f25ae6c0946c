"""Default choice among several metrics, scorers or answer filters of a log."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from capscope.data.columns import TRUTH_WORDS
from capscope.data.formats.score_tables import ScoreTable
from capscope.data.formats.scored_log import ScoredLog
from capscope.errors import InputError, first_few

SCORES_CHECKED = 1000
"""Number of values that are checked to decide whether they are scores."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """Default choice among names: the first in an order of preference that all logs of a task have."""

    what: str
    """Kind of the names, such as "metric"."""
    option: str
    """Command-line option of the choice, such as ``--metric``."""
    order: tuple[str, ...] = ()
    """Names in order of preference."""
    others: bool = True
    """Whether the first name of the log is chosen if none is in the order."""

    def by_task(self, named: Sequence[tuple[str, Sequence[str]]]) -> tuple[dict[str, str], list[str]]:
        """Choose a name for every task.

        Args:
            named: Task and names of each log, the names in the order of the log.

        Returns:
            The name by task, and a remark on every choice among several names.

        Raises:
            InputError: The logs of a task have no name in common, or none of the order where `others` is not set.
        """
        names: dict[str, list[str]] = {}
        there: dict[str, dict[str, None]] = {}
        for task, of_log in named:
            names[task] = [name for name in names.get(task, of_log) if name in of_log]
            there.setdefault(task, {}).update(dict.fromkeys(of_log))
        chosen = {task: self._first(task, shared, list(there[task])) for task, shared in names.items()}
        return chosen, self._remarks(chosen, there)

    def _first(self, task: str, shared: Sequence[str], there: Sequence[str]) -> str:
        preferred = [name for name in self.order if name in shared]
        if preferred or (shared and (self.others or len(shared) == 1)):
            return (preferred or shared)[0]
        which = "have no name in common" if not shared else f"have none of the usual {self.what}s"
        raise InputError(
            f"task '{task}': its logs {which} ({first_few(there, 10)}); choose one with {self.option} NAME"
        )

    def _remarks(self, chosen: dict[str, str], there: dict[str, dict[str, None]]) -> list[str]:
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for task, name in chosen.items():
            others = tuple(other for other in there[task] if other != name)
            if others:
                groups.setdefault((name, others), []).append(task)
        return [
            f"{self.what} '{name}' counts for {first_few(tasks, 3)}; also there: {first_few(others, 4)}"
            f" (choose with {self.option})"
            for (name, others), tasks in groups.items()
        ]


def chosen_tables(
    logs: Sequence[ScoredLog], wanted: Sequence[str], option: str, usual: Usual | None, sentinels: Sequence[str]
) -> tuple[list[ScoreTable], list[str]]:
    """Make a table of each log, of the scores under one name.

    Args:
        logs: The logs.
        wanted: Names in order of preference; the first that a log has counts.
        option: The option that chooses, for messages.
        usual: Default choice; with None an open choice is an error.
        sentinels: Values that mean "not scored".

    Returns:
        The tables, and remarks on what was chosen.

    Raises:
        InputError: The choice is open, or a score lies outside 0 to 1.
    """
    if wanted or usual is None:
        return [log.chosen(wanted, option, sentinels) for log in logs], []
    chosen, remarks = usual.by_task([(log.task, _scoring(log)) for log in logs if log.by_name])
    return [log.chosen([chosen[log.task]] if log.by_name else [], option, sentinels) for log in logs], remarks


def _scoring(log: ScoredLog) -> list[str]:
    """Return the names under which the log has scores from 0 to 1; where there are none, all names."""
    scoring = [name for name, scores in log.by_name.items() if _all_scores(islice(scores.value, SCORES_CHECKED))]
    return scoring or list(log.by_name)


def _all_scores(values: Iterable[object]) -> bool:
    return all(value is None or _is_score(value) for value in values)


def _is_score(value: object) -> bool:
    """Return whether a value counts as a score from 0 to 1: a number, also as text, true or false."""
    if isinstance(value, str):
        if value.strip().lower() in TRUTH_WORDS:
            return True
        try:
            value = float(value)
        except ValueError:
            return False
    return isinstance(value, int | float) and not (value < 0 or value > 1)
