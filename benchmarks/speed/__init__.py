"""How fast the full-size network runs, as ratios."""
