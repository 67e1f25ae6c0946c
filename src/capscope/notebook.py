"""How results show themselves in notebooks: a caption, a table, a note; every text is escaped."""

from html import escape

import pandas as pd

ROWS = 20
"""Rows that a notebook shows of a result."""


def html_table(caption: str, table: pd.DataFrame, note: str = "") -> str:
    """Write a table as HTML for a notebook.

    Args:
        caption: What it holds, in a few words.
        table: The rows; the first 20 are shown, and how many there are is said.
        note: What a reader should know, below the table.
    """
    more = f"The first {ROWS} of {len(table):,} rows. " if len(table) > ROWS else ""
    body = table.head(ROWS).to_html(index=False, border=0, float_format=lambda value: f"{value:.3f}", na_rep="")
    foot = f"<p>{escape(more + note)}</p>" if more or note else ""
    return f"<div><p><strong>{escape(caption)}</strong></p>{body}{foot}</div>"
