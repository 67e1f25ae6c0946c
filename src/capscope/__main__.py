"""``python -m capscope`` and the command ``capscope``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it starts or ends is one line, too."""
    try:
        from capscope.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped by Ctrl-C\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
