"""Which deployments are compared, and what each model answers in them."""
