"""Open the page of a fit in the browser."""

import tempfile
import webbrowser
from pathlib import Path

from capscope.report.jobs import PageSettings, report_fit


def view_fit(folder: Path, settings: PageSettings | None = None, browser: bool = True) -> Path:
    """Write the page of a stored fit to a temporary folder and open it; see `report_fit`.

    Args:
        folder: The fit.
        settings: What to show beside the fit.
        browser: Whether to open it.

    Returns:
        The page, which stays until the system clears its temporary files.
    """
    page = report_fit(folder, Path(tempfile.mkdtemp(prefix="capscope-")) / "report.html", settings)
    if browser:
        webbrowser.open(page.as_uri())
    return page
