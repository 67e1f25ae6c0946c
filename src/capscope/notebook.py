"""Former place of `html_table`; to be removed with its last user."""

from capscope.display import html_table as html_table
