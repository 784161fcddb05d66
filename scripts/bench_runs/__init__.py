"""Running the benchmarks of every question, and comparing two such runs."""
