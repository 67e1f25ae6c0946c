"""Tables of scores whose factors are known."""

import numpy as np
import pandas as pd


def planted_table(
    seed: int = 0, n: int = 60, d: int = 12, rank: int = 2, missing: float = 0.3, noise: float = 0.15
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Percent scores of models whose abilities follow size and family.

    Returns:
        The scores with missing cells, the scores without (both wide, with a column model), and the table of models.
    """
    rng = np.random.default_rng(seed)
    family = rng.integers(8, size=n)
    size = np.exp(rng.normal(2, 1.2, n))
    ability = rng.normal(size=(n, rank)) * 0.5
    ability[:, 0] += 0.6 * (np.log(size) - 2) + rng.normal(size=8)[family] * 0.6
    loading = np.column_stack([rng.uniform(0.4, 1.2, d), *(rng.normal(0, 0.4, (d, rank - 1)).T)])
    logit = rng.normal(0, 0.8, d) + ability @ loading.T + noise * rng.standard_t(5, (n, d))
    whole = 100 / (1 + np.exp(-logit))
    names = [f"f{family[i]}-m{i}" for i in range(n)]
    columns = [f"bench{chr(97 + j)}" for j in range(d)]
    full = pd.DataFrame(whole, columns=columns).assign(model=names)
    visible = full.mask(pd.DataFrame(rng.random((n, d)) < missing, columns=columns).assign(model=False))
    models = pd.DataFrame({"model": names, "family": [f"f{k}" for k in family], "size": size})
    return visible, full, models
