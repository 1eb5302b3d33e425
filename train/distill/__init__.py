"""The networks of a run and the losses that tie them together."""
