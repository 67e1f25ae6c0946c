"""Plan an evaluation: what answers, runs, prompts, judges and labels a wanted precision or difference takes."""
