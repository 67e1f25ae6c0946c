"""Threads inside linear algebra: one each within a fit, as many as before after it, and the same numbers."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from capscope.fit import fit_demand_study
from capscope.fit.outcome import single_threaded
from predict.simulated_study import simulated_study


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_products_use_one_thread_within_and_as_many_as_before_after_an_error_too() -> None:
    with threadpool_limits(2, "blas"):
        before, torch_before = blas_threads(), torch.get_num_threads()
        with single_threaded():
            assert set(blas_threads()) == {1}
            assert torch.get_num_threads() == 1
        with pytest.raises(ZeroDivisionError), single_threaded():
            raise ZeroDivisionError
        assert blas_threads() == before
        assert torch.get_num_threads() == torch_before


def test_a_fit_gives_the_same_numbers_whatever_the_threads_around_it() -> None:
    study = simulated_study(n_items=120)
    with threadpool_limits(2, "blas"):
        two = fit_demand_study(study).posterior
    with threadpool_limits(1, "blas"):
        one = fit_demand_study(study).posterior
    np.testing.assert_array_equal(two.ability_mean, one.ability_mean)
