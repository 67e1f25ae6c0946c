"""Inspect extension of capscope: with CAPSCOPE_STUDY=FOLDER, every log is added to a study when its task ends.

Inspect loads every extension at its start, so nothing of capscope is imported before a task ends.
"""

import os

from inspect_ai.hooks import Hooks, TaskEnd, hooks

STUDY = "CAPSCOPE_STUDY"
"""Environment variable that names the folder of the study."""


@hooks(  # pyright: ignore[reportUntypedClassDecorator]
    name="capscope_study", description="Adds the answers of each log to a study of capscope"
)
class StudyHook(Hooks):
    """Adds each log to the study that the environment names."""

    def enabled(self) -> bool:
        """Return whether a study is named."""
        return bool(os.environ.get(STUDY))

    async def on_task_end(self, data: TaskEnd) -> None:
        """Add the task's log."""
        from capscope.integrations.inspect_ai import add_log

        add_log(os.environ[STUDY], data.log.location)
