"""Two results of the gate: compared, and the page of that."""
