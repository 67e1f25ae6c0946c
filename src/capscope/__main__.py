"""``python -m capscope``."""

from capscope.cli import main

main()
