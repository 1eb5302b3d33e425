"""What top-1 does not show: changed answers, calibration, every class. Pure functions."""
