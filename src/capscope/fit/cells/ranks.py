"""One fit on several processes: each holds the answers to its items, and sums over cells are reduced over all.

Processes (*ranks*, as in torch.distributed) are started by `torchrun` or by Ray Train. Rank r of n holds the items r,
r + n, r + 2 n, ... with all their answers. Every rank keeps the parameters of all models and items and takes the same
steps from the same reduced sums. An engine receives `RankCells` in place of `Cells` and needs no code for ranks.
"""

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from capscope import __version__
from capscope.axes import RowFloats
from capscope.errors import FitError, LostProcess, counted
from capscope.fit.cells.answers import Answers, GridAnswers, PartOfAnswers
from capscope.fit.cells.interface import Cells, CurvatureColumns, Factors, Products, ResidualColumns
from capscope.fit.cells.layout import BothWays, lay_out
from capscope.fit.cells.response_summary import MOST_PAIRS, Margins, ResponseSummary, summarise, summed_up

DIGESTED = 1 << 16
"""Number of answers in the digest by which processes check that they read the same data."""
LOST = "another process of this fit ended or cannot be reached; its own message says why. Start the fit again"


@dataclass(frozen=True)
class Ranks:
    """The process group of one fit, and the number of this process in it."""

    rank: int
    """Number of this process, from 0."""
    size: int
    """Number of processes."""
    device: torch.device = torch.device("cpu")
    """Device of the tensors that the processes exchange."""

    @property
    def own(self) -> slice:
        """Positions of this process's items on the item axis."""
        return slice(self.rank, None, self.size)

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, the same on each.

        Raises:
            LostProcess: A process ended.
        """
        with _lost_process():
            torch.distributed.all_reduce(tensor)
        return tensor

    def gathered(self, own: Tensor) -> Tensor:
        """The tensors of all processes, of the same shape, along a new first axis.

        Raises:
            LostProcess: A process ended.
        """
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(self.size)]
        with _lost_process():
            torch.distributed.all_gather(parts, own.contiguous())
        return torch.stack(parts)

    def united(self, pairs: set[complex] | None) -> set[complex] | None:
        """The pairs of score and trials that occur in any process; None where there are too many in one, or in all.

        Raises:
            LostProcess: A process ended.
        """
        every: list[set[complex] | None] = [None] * self.size
        with _lost_process():
            torch.distributed.all_gather_object(every, pairs)
        known = [part for part in every if part is not None]
        together = set[complex]().union(*known)
        return together if len(known) == self.size and len(together) <= MOST_PAIRS else None

    def agreed(self, *values: float) -> tuple[float, ...]:
        """The first process's values, so that processors that round differently stop in the same sweep."""
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        return tuple(self.gathered(shared)[0].tolist())

    def interleaved(self, own: Float[Tensor, "own k"], size: int) -> Float[Tensor, "size k"]:
        """Rows of all items from the rows of each process's items.

        Args:
            own: Rows of this process's items.
            size: Number of items.
        """
        padded = own.new_zeros(-(-size // self.size), own.shape[1])
        padded[: len(own)] = own
        return self.gathered(padded).transpose(0, 1).reshape(-1, own.shape[1])[:size]


@contextmanager
def _lost_process() -> Generator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostProcess(f"process {torch.distributed.get_rank()}: {LOST}") from error


_RANKS: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def current_ranks() -> Ranks | None:
    """The processes that fits are spread over; None for this one alone."""
    return _RANKS.get()


@contextmanager
def all_ranks(device: str = "auto") -> Generator[Ranks | None]:
    """Spread the fits of this block over all processes that `torchrun`, or Ray Train, has started.

    Each process calls the same functions with the same data. In a process that was started alone nothing changes.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``; on GPUs each process takes the one of its number on its machine.

    Returns:
        A context manager of the processes, or of None where there is one.
    """
    distributed = torch.distributed
    started_here = not (distributed.is_available() and distributed.is_initialized())
    if started_here and not (int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ):
        yield None
        return
    where = torch.device("cpu")
    if device != "cpu" and torch.cuda.is_available():
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(where)
    if started_here:
        distributed.init_process_group("gloo" if where.type == "cpu" else "nccl")
    mark = _RANKS.set(Ranks(distributed.get_rank(), distributed.get_world_size(), where))
    try:
        yield _RANKS.get()
    finally:
        _RANKS.reset(mark)
        if started_here:
            distributed.destroy_process_group()


@dataclass(frozen=True)
class RankCells:
    """The cells of all processes: a pass goes over this one's, and its results are those over all."""

    local: Cells
    """Cells of this process's items."""
    ranks: Ranks
    """The processes."""
    n_items: int
    """Number of items of all processes."""
    items_in_rows: bool
    """Whether items are rows; else they are columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns over all processes."""
        rows, columns = self.local.shape
        return (self.n_items, columns) if self.items_in_rows else (rows, self.n_items)

    @property
    def log_concave(self) -> bool:
        """Whether no item has a floor; see `Cells.log_concave`."""
        return self.local.log_concave

    def products(
        self, factors: Factors, on_residual: ResidualColumns, on_curvature: CurvatureColumns, threads: int = 1
    ) -> Products:
        """One pass over the cells of all processes; see `Cells.products`."""
        own = self.ranks.own
        if self.items_in_rows:
            part = self.local.products(self._own_factors(factors), on_residual, on_curvature, threads)
            sums = torch.cat([part.residual, part.curvature], 1)
            loss = float(self.ranks.summed(sums.new_tensor([part.loss])))
            sums = self.ranks.interleaved(sums, self.n_items)
        else:
            part = self.local.products(self._own_factors(factors), on_residual[own], on_curvature[own], threads)
            width = part.residual.shape[1] + part.curvature.shape[1]
            flat = torch.cat([part.residual, part.curvature], 1).reshape(-1)
            flat = self.ranks.summed(torch.cat([flat, flat.new_tensor([part.loss])]))
            loss, sums = float(flat[-1]), flat[:-1].reshape(-1, width)
        n_residual = on_residual.shape[1]
        return Products(sums[:, :n_residual], sums[:, n_residual:], loss)

    def log_likelihood(self, factors: Factors) -> Float[Tensor, " rows"]:
        """Log-likelihood of each row's cells; see `Cells.log_likelihood`."""
        part = self.local.log_likelihood(self._own_factors(factors))
        if not self.items_in_rows:
            return self.ranks.summed(part)
        return self.ranks.interleaved(part[:, None], self.n_items)[:, 0]

    def _own_factors(self, factors: Factors) -> Factors:
        own = self.ranks.own
        if self.items_in_rows:
            return replace(factors, row_mean=factors.row_mean[own], row_variance=factors.row_variance[own])
        return replace(factors, column_mean=factors.column_mean[own], column_variance=factors.column_variance[own])

    def without_floor(self) -> "RankCells":
        """The same scores without floors of guessing."""
        return replace(self, local=self.local.without_floor())

    def to(self, device: torch.device) -> "RankCells":
        """Move to a device."""
        return replace(self, local=self.local.to(device))


def summarise_ranks(answers: Answers, ranks: Ranks | None) -> ResponseSummary:
    """Summarise all answers, each process those to its items.

    Args:
        answers: All answers, the same in each process.
        ranks: The processes; None for this one alone.

    Raises:
        FitError: There are no answers, or fewer items than processes, or the processes read different answers.
    """
    if ranks is None:
        return summarise(answers)
    n_items = _enough_items(answers, ranks)
    _refuse_other_answers(answers, ranks)
    own = summed_up(_own_part(answers, ranks))
    whole = ResponseSummary(own.models, Margins.none(n_items))
    for items, part in zip(whole.items.counts, own.items.counts, strict=True):
        items[ranks.own] = part
    counts = (*whole.models.counts, *whole.items.counts)
    flat = torch.from_numpy(np.concatenate([*counts, [own.n_rows, not own.binary, not own.one_trial]]))
    flat = ranks.summed(flat.to(ranks.device)).cpu().numpy()
    for count, total in zip(counts, np.split(flat, np.cumsum([len(count) for count in counts]))[:-1], strict=True):
        count[:] = total
    whole.n_rows, whole.binary, whole.one_trial = int(flat[-3]), bool(flat[-2] == 0), bool(flat[-1] == 0)
    whole.pairs = ranks.united(own.pairs)
    return whole.refuse_empty()


def lay_out_ranks(
    answers: Answers, summary: ResponseSummary, floor: RowFloats | None, memory_mb: float, ranks: Ranks | None
) -> BothWays:
    """Lay out the answers to this process's items; see `lay_out`.

    Args:
        answers: All answers, the same in each process.
        summary: Summary of all answers.
        floor: Chance of a right guess on each item; None for none.
        memory_mb: Megabytes for the cells of this process.
        ranks: The processes; None for this one alone.

    Raises:
        FitError: There are fewer items than processes.
    """
    if ranks is None:
        return lay_out(answers, summary, floor, memory_mb)
    n_items = _enough_items(answers, ranks)
    part = _own_part(answers, ranks)
    local = replace(summed_up(part), binary=summary.binary, one_trial=summary.one_trial)
    local = replace(local, pairs=summary.pairs, weight=summary.weight)
    sides = lay_out(part, local, None if floor is None else floor[ranks.own], memory_mb)
    return RankCells(sides[0], ranks, n_items, False), RankCells(sides[1], ranks, n_items, True)


def _enough_items(answers: Answers, ranks: Ranks) -> int:
    """Return the number of items.

    Raises:
        FitError: There are fewer items than processes.
    """
    n_items = len(answers.items)
    if n_items < ranks.size:
        raise FitError(
            f"{ranks.size} processes for {counted(n_items, 'item')}; start at most one process for each item"
        )
    return n_items


def _own_part(answers: Answers, ranks: Ranks) -> Answers:
    if isinstance(answers, GridAnswers):
        return GridAnswers(answers.models, answers.items[ranks.own], answers.answer[:, ranks.own])
    return PartOfAnswers(answers, np.arange(len(answers.models)), np.arange(len(answers.items))[ranks.own])


def _refuse_other_answers(answers: Answers, ranks: Ranks) -> None:
    """Compare digests of version, axes and first answers: sums over different data would be silently wrong."""
    digest = hashlib.sha256(repr((__version__, answers.models, answers.items)).encode())
    for block in answers.blocks():
        for part in (block.model_index, block.item_index, block.score, block.n_trials):
            digest.update(np.ascontiguousarray(part[:DIGESTED]).tobytes())
        break
    own = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8).to(ranks.device)
    digests = ranks.gathered(own)
    other = torch.nonzero((digests != digests[0]).any(1))
    if len(other):
        raise FitError(
            f"process {int(other[0])} reads other answers, or has another version of capscope, than process 0; "
            "give every machine the same study"
        )
