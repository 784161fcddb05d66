"""What scripts/gpu_check.sh runs: `commands` runs programs against the clock, `readings` reads what
they wrote, `parts` says what is run, `report` writes what came of it. Python's own library only."""
