"""Sets of real clips: a study and a gate over folds of each, and all of them together."""
