"""What is computed in parts, or without copies, of large tables is what is computed of the whole."""

import numpy as np
import pandas as pd
import pytest

import capscope.data.tables as tables
from capscope.data import Responses, Study
from capscope.errors import InputError


def _answers(shuffled: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    model, item = np.divmod(np.arange(60), 10)
    kept = rng.random(60) < 0.8
    frame = pd.DataFrame(
        {"model": [f"m{m}" for m in model], "item_id": [f"i{i}" for i in item], "score": rng.random(60).round(2)}
    )[kept]
    return frame.sample(frac=1, random_state=0) if shuffled else frame


def test_rows_in_order_are_laid_out_as_rows_out_of_order() -> None:
    straight, mixed = (Responses.of(Study.of(responses=_answers(shuffled))) for shuffled in (False, True))
    for name in ("model_index", "item_index", "score", "n_trials"):
        np.testing.assert_array_equal(getattr(straight, name), getattr(mixed, name))


def test_parts_of_models_hold_every_answer_once() -> None:
    whole = Responses.of(Study.of(responses=_answers()))
    parts = list(whole.model_parts(rows=15))
    assert len(parts) > 2
    pooled = np.concatenate([part.dense().score for _, part in parts])
    np.testing.assert_array_equal(pooled, whole.dense().score)
    assert [first for first, _ in parts] == list(np.cumsum([0, *(len(part.models) for _, part in parts[:-1])]))


@pytest.mark.parametrize("few", [0, 1 << 20])
def test_a_repeated_key_is_named_however_repeats_are_looked_for(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "FEW_KEYS", few)
    monkeypatch.setattr(tables, "KEYS_A_ROW", few)
    frame = _answers()
    Study.of(responses=frame)
    with pytest.raises(InputError, match="repeats model 'm0', item_id 'i0'"):
        Study.of(responses=pd.concat([frame, frame[:1]], ignore_index=True))


def test_a_checked_table_does_not_follow_later_changes_of_the_callers() -> None:
    frame = _answers()
    study = Study.of(responses=frame)
    frame.loc[frame.index[0], "score"] = 0.77
    assert study.responses is not None
    assert study.responses["score"].iloc[0] != 0.77
