"""``python -m capscope`` and the command ``capscope``."""

import os
import re
import signal
import sys
from types import FrameType

LACK_OF_MEMORY = re.compile("failed to map segment|cannot allocate memory|can't allocate memory|out of memory", re.I)
"""Words of the loader of libraries, of PyTorch and of CUDA."""


TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, as shells report it."""


def main() -> None:
    """Run the command line; a request to end is treated as Ctrl-C, but for its exit code."""
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        """End as after Ctrl-C, also where Ctrl-C is ignored, as in a shell's background; a child process just ends."""
        if os.getpid() != process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        from capscope.errors import Interrupted

        asked.append(number)
        Interrupted.by = "SIGTERM"
        stop = signal.getsignal(signal.SIGINT)
        if callable(stop):
            stop(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt

    process = os.getpid()
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # a caller that ignores or handles it keeps its choice
        signal.signal(signal.SIGTERM, end)
    try:
        _main()
    except SystemExit as ended:
        if asked and ended.code == 130:
            sys.exit(TERMINATED)
        raise


def _main() -> None:
    """Run the command line; Ctrl-C while it starts or ends, and a lack of memory anywhere, are one line, too."""
    try:
        from capscope.cli import main as run

        run()
    except KeyboardInterrupt:
        from capscope.errors import Interrupted

        _stop(f"stopped by {Interrupted.by}", Interrupted.exit_code)
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
