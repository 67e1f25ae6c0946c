"""The item bank: parameters of items and answers of past models, from which a new model is profiled without a fit.

A bank on disk is a folder: `manifest.json` with names and provenance, `tensors.safetensors` with the numbers and their
SHA-256 in the manifest. It holds no texts and no pickle.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray

from capscope.axes import AGENT_FACETS, FloatArray, ItemDim, RowFloats
from capscope.battery.banks.building import (
    ItemFacts,
    Scores,
    dims_for,
    fit_bank_items,
    item_facts,
    pack_ids,
    pack_posterior,
    quantised,
    refuse_widths,
    unpack_ids,
    unpack_posterior,
    unquantised,
)
from capscope.data import Responses, Study, subjects_of
from capscope.display import html_table
from capscope.errors import InputError, counted, first_few, nearest
from capscope.files import Tensors, read_tensors, refuse_lengths, write_tensors
from capscope.fit import KINDS, IRTPosterior

SCHEMA = 1
"""Version of the folder's format."""
KEPT_FILES = ("README.md", "harness_tasks.json")
"""Files beside the bank's own that stay when the bank is written again."""
ALIKE, NO_SLOPE = 0.01, 0.05
"""Standard deviation of past models' abilities, and root-mean-square slope of the items in log-odds for a unit of
ability, under which the models count as equal."""
REMEDY = "make one with 'capscope bank build'"

Index = NDArray[np.integer]
"""Positions on an axis."""


@dataclass(frozen=True, repr=False)
class Bank:
    """Items with their fitted parameters, the abilities of past models, and the answers of past models."""

    posterior: IRTPosterior
    """Items and past models as fitted; it fixes the ability scale of everything made from the bank."""
    benchmark: tuple[str, ...]
    """Benchmark of each item."""
    task: tuple[str, ...]
    """Task of each item, by its name in the evaluation harness where that is known."""
    document: Int[np.ndarray, " item"]
    """Document index of each item within its task; -1 where unknown."""
    history: Scores | None = None
    """Scores of past models (model, item), NaN where not administered; None in a compact bank."""
    dims: tuple[str, ...] = ()
    """Rubric codes of the demand levels."""
    demands: ItemDim | None = None
    """Demand levels 0 to 5, NaN where not rated; None without demands."""
    cost: RowFloats | None = None
    """Cost of an answer, such as its tokens; None where all cost the same."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """Study, sources, sizes, and settings of the fit."""

    @classmethod
    def build(
        cls,
        study: Study | str | Path,
        *,
        dims: int = 0,
        harness_tasks: dict[str, str] | None = None,
        seed: int = 0,
        max_sweeps: int = 200,
    ) -> "Bank":
        """Fit the answered items of a study and collect what its tables say about them.

        Args:
            study: A study with responses, or its folder; items give benchmark, task and document, demands give levels.
            dims: Number of abilities; 0 chooses by the number of models (one for each ten, 1 to 6).
            harness_tasks: Names of tasks in the evaluation harness, by ``benchmark/task`` or by ``benchmark``.
            seed: Seed of the fit's start values.
            max_sweeps: Largest number of sweeps of the fit.

        Raises:
            InputError: The study has no responses, or its tables do not fit together.
            FitError: The responses cannot support the fit.

        Example:
            >>> bank = Bank.build("study", dims=2)  # doctest: +SKIP
            >>> bank.save("bank")  # doctest: +SKIP
        """
        loaded, agents = subjects_of(study if isinstance(study, Study) else Study.load(Path(study)), AGENT_FACETS)
        responses = Responses.of(loaded)
        chosen = dims or dims_for(len(responses.models))
        posterior = fit_bank_items(responses, dims=chosen, seed=seed, max_sweeps=max_sweeps)
        facts = item_facts(loaded, responses.items, harness_tasks)
        return cls(
            posterior=posterior,
            benchmark=facts.benchmark,
            task=facts.task,
            document=facts.document,
            history=responses.dense().score,
            dims=facts.dims,
            demands=facts.demands,
            cost=facts.cost,
            provenance=_provenance(loaded, posterior, seed) | ({} if agents is None else {"agents": agents.as_dict()}),
        )

    @classmethod
    def load(cls, folder: str | Path) -> "Bank":
        """Read a bank.

        Args:
            folder: A folder written by `save`.

        Raises:
            InputError: The folder holds no bank, one of another version, or a damaged one.
        """
        folder = Path(folder)
        manifest, tensors = read_tensors(folder, "bank", REMEDY)
        if str(manifest.get("kind")) in KINDS:
            raise InputError(f"{folder}: this is a fit, not a bank; {REMEDY}")
        if manifest.get("kind") != "bank" or manifest.get("schema") != SCHEMA:
            raise InputError(f"{folder}: not a bank of this version of capscope; {REMEDY}")
        try:
            return _unpacked(folder, manifest, tensors)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{folder}: the bank is damaged ({error}); build it again") from None

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the bank as a folder, whole or not at all; a compact bank is written in half precision.

        Args:
            folder: Where to write.
            force: An existing bank may be replaced.

        Returns:
            The folder.

        Raises:
            OutputError: The folder exists and `force` is not set, holds something else, or cannot be written.
        """
        return write_tensors(Path(folder), self._manifest(), self._tensors(), force=force, what="bank", keep=KEPT_FILES)

    def add(self, study: Study | str | Path, *, harness_tasks: dict[str, str] | None = None) -> "Bank":
        """Return the bank with the new items of a study; parameters of old items, and so the scale, stay as they are.

        Args:
            study: Answers to the new items by models of the bank, or by models that also answered items of the bank.
            harness_tasks: Names of the new tasks in the evaluation harness; see `build`.

        Raises:
            InputError: The study brings no new item.
            FitError: No chain of answers links a new item to the bank's scale.
        """
        from capscope.fit import calibrate_items  # loads torch, which a run of a bank does without

        loaded, _ = subjects_of(study if isinstance(study, Study) else Study.load(Path(study)), AGENT_FACETS)
        responses = Responses.of(loaded)
        known = set(self.items)
        new = np.array([place for place, item in enumerate(responses.items) if item not in known], dtype=np.int64)
        if not len(new):
            raise InputError(f"{loaded.name}: all of its items are in the bank already; nothing was added")
        grown = calibrate_items(self.posterior, responses).posterior
        facts = item_facts(loaded, responses.items, harness_tasks)
        cost = None if self.cost is None or facts.cost is None else np.concatenate([self.cost, facts.cost[new]])
        part = _provenance(loaded, grown, 0)
        return replace(
            self,
            posterior=grown,
            benchmark=self.benchmark + tuple(facts.benchmark[place] for place in new),
            task=self.task + tuple(facts.task[place] for place in new),
            document=np.concatenate([self.document, facts.document[new]]),
            history=self._grown_history(grown, responses),
            demands=self._grown_demands(facts, new),
            cost=cost,
            provenance=self.provenance | {"added": [*self.provenance.get("added", []), part]},
        )

    @property
    def items(self) -> tuple[str, ...]:
        """Ids on the item axis."""
        return self.posterior.items

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the past models."""
        return self.posterior.models

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks, sorted."""
        return tuple(sorted(set(self.benchmark)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Limits of the bank: past models of equal ability define no unit of ability."""
        slopes = self.posterior.item_mean[:, : self.posterior.dims]
        apart = len(self.models) and self.posterior.ability_mean.std(axis=0).max() > ALIKE
        if apart and np.sqrt((slopes**2).sum(axis=1).mean()) > NO_SLOPE:
            return ()
        return (
            "the past models do not differ on these items, so that abilities have no unit: their numbers are the"
            " prior's; add models that differ",
        )

    def ability_prior(self) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"]]:
        """Return mean and covariance of the abilities of past models: the prior of a new model's abilities.

        The covariance includes the posterior covariances, so that models known from few answers do not narrow it.
        """
        mean = self.posterior.ability_mean.mean(0)
        centred = self.posterior.ability_mean - mean
        spread = centred.T @ centred / max(len(centred), 1)
        return mean, spread + self.posterior.ability_cov.mean(0)

    def positions(self, items: tuple[str, ...]) -> Index:
        """Return the positions of items by id.

        Raises:
            InputError: An id is not in the bank.
        """
        place = {item: number for number, item in enumerate(self.items)}
        missing = [item for item in items if item not in place]
        if missing:
            hint = nearest(missing[0], self.items)
            raise InputError(f"the bank has no item {first_few(missing)}{hint}; add them with 'capscope bank add'")
        return np.array([place[item] for item in items], dtype=np.int64)

    def of_benchmarks(self, benchmarks: tuple[str, ...]) -> Index:
        """Return the positions of the items of these benchmarks; of all items if none is named.

        Raises:
            InputError: The bank has no such benchmark.
        """
        unknown = [name for name in benchmarks if name not in self.benchmarks]
        if unknown:
            hint = nearest(unknown[0], self.benchmarks)
            raise InputError(f"the bank has no benchmark '{unknown[0]}'{hint}; it has {first_few(self.benchmarks)}")
        wanted = set(benchmarks or self.benchmarks)
        return np.array([place for place, name in enumerate(self.benchmark) if name in wanted], dtype=np.int64)

    def take_items(self, index: Index) -> "Bank":
        """Return the bank with some of its items, in this order."""
        return replace(
            self,
            posterior=self.posterior.take_items(index),
            benchmark=tuple(self.benchmark[i] for i in index),
            task=tuple(self.task[i] for i in index),
            document=self.document[index],
            history=None if self.history is None else self.history[:, index],
            demands=None if self.demands is None else self.demands[index],
            cost=None if self.cost is None else self.cost[index],
        )

    def known_scores(self) -> FloatArray:
        """Return the scores of past models.

        Raises:
            InputError: The bank is compact, so it has none.
        """
        if self.history is None:
            raise InputError("a compact bank keeps no past answers; use the study it was built from")
        return self.history

    def compact(self) -> "Bank":
        """Return the bank without past answers; estimators then learn from answers drawn from the fitted abilities."""
        return replace(self, history=None)

    def table(self) -> pd.DataFrame:
        """Return one row for each item: item_id, benchmark, task, document, slopes and intercept (log-odds)."""
        names = [f"slope_{number}" for number in range(1, self.posterior.dims + 1)]
        parameters = pd.DataFrame(self.posterior.item_mean, columns=[*names, "intercept"])
        head = {"item_id": self.items, "benchmark": self.benchmark, "task": self.task, "document": self.document}
        return pd.DataFrame(head).join(parameters)

    def __repr__(self) -> str:
        past = "no past answers (compact)" if self.history is None else "with past answers"
        return (
            f"Bank({counted(len(self.items), 'item')} of {counted(len(self.benchmarks), 'benchmark')}"
            f" ({first_few(self.benchmarks)}), "
            f"{counted(len(self.models), 'past model')}, {counted(self.posterior.dims, 'ability')}, {past})"
        )

    def _repr_html_(self) -> str:
        """Show the first items as a table in a notebook."""
        return html_table(f"Bank of {counted(len(self.items), 'item')}", self.table(), repr(self))

    def _manifest(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "kind": "bank",
            "model": self.posterior.model_name,
            "form": self.posterior.population.form,
            "models": list(self.models),
            "groups": list(pack_ids(self.items, self.benchmark, self.task, self.document)),
            "dims": list(self.dims),
            "provenance": self.provenance,
        }

    def _tensors(self) -> Tensors:
        kind = np.float16 if self.history is None else np.float32
        tensors = pack_posterior(self.posterior, kind) | {"document": self.document.astype(np.int32)}
        if self.history is not None:
            tensors["history"] = quantised(self.history)
        if self.demands is not None:
            tensors["demands"] = self.demands.astype(np.float16)
        if self.cost is not None:
            tensors["cost"] = self.cost.astype(np.float32)
        return tensors

    def _grown_history(self, grown: IRTPosterior, responses: Responses) -> FloatArray | None:
        if self.history is None:
            return None
        scores = np.full((len(grown.models), len(grown.items)), np.nan)
        given = responses.dense().score
        scores[np.ix_(grown.model_index(responses.models), grown.item_index(responses.items))] = given
        old = scores[: len(self.models), : len(self.items)]
        # items of the bank were fitted to the answers that the bank holds, so those stay
        old[...] = np.where(np.isnan(self.history), old, self.history)
        return scores

    def _grown_demands(self, facts: ItemFacts, new: Index) -> FloatArray | None:
        if self.demands is None:
            return None
        levels = np.full((len(new), len(self.dims)), np.nan)
        for place, dim in enumerate(self.dims):
            if facts.demands is not None and dim in facts.dims:
                levels[:, place] = facts.demands[new, facts.dims.index(dim)]
        return np.concatenate([self.demands, levels])


def _provenance(study: Study, posterior: IRTPosterior, seed: int) -> dict[str, Any]:
    fitted = {"dims": posterior.dims, "model": posterior.model_name, "seed": seed}
    return {"study": Path(study.name).name, "sources": study.sources, "fit": fitted}


def _unpacked(folder: Path, manifest: dict[str, Any], tensors: Tensors) -> Bank:
    """Return the bank of a folder, every axis of every tensor checked against the names on it."""
    document = tensors["document"].astype(np.int64)
    items, benchmark, task = unpack_ids(manifest["groups"], document)
    models, dims = tuple(manifest["models"]), tuple(manifest["dims"])
    names = {
        "document": (0, items),
        "item_mean": (0, items),
        "item_cov": (0, items),
        "floor": (0, items),
        "cost": (0, items),
        "ability_mean": (0, models),
        "ability_cov": (0, models),
    }
    refuse_lengths(folder, "bank", tensors, names, REMEDY)
    for axis, labels in enumerate((models, items)):
        refuse_lengths(folder, "bank", tensors, {"history": (axis, labels)}, REMEDY)
    for axis, labels in enumerate((items, dims)):
        refuse_lengths(folder, "bank", tensors, {"demands": (axis, labels)}, REMEDY)
    refuse_widths(tensors)
    history, demands, cost = tensors.get("history"), tensors.get("demands"), tensors.get("cost")
    return Bank(
        posterior=unpack_posterior(manifest, items, tensors),
        benchmark=benchmark,
        task=task,
        document=document,
        history=None if history is None else unquantised(history),
        dims=dims,
        demands=None if demands is None else demands.astype(float),
        cost=None if cost is None else cost.astype(float),
        provenance=manifest["provenance"],
    )
