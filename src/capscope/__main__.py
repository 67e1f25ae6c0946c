"""``python -m capscope`` and the command ``capscope``."""

import re
import sys

LACK_OF_MEMORY = re.compile("failed to map segment|cannot allocate memory|can't allocate memory|out of memory", re.I)
"""Words of the loader of libraries, of PyTorch and of CUDA."""


def main() -> None:
    """Run the command line; Ctrl-C while it starts or ends, and a lack of memory anywhere, are one line, too."""
    try:
        from capscope.cli import main as run

        run()
    except KeyboardInterrupt:
        _stop("stopped by Ctrl-C", 130)
    except (MemoryError, ImportError, RuntimeError) as error:
        if "--debug" in sys.argv[1:] or not (isinstance(error, MemoryError) or LACK_OF_MEMORY.search(str(error))):
            raise
        reason = " ".join(str(error).split())[:200] or "MemoryError"
        _stop(f"memory is used up ({reason}); give more of it, fewer --workers or a smaller study", 1)


def _stop(message: str, code: int) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
