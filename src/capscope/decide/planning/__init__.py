"""Plans of evaluations: numbers of answers, runs, prompts, judges and labels for a given precision or difference."""
