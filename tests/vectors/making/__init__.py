"""Makes the cases of the suite: ``python -m tests.vectors.making`` writes them anew."""
