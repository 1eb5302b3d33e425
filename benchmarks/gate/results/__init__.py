"""The gate's result file and what lies beside it: made, checked, brought up to date."""
