"""Parse, call, print; one sub-command for each job, no logic."""
