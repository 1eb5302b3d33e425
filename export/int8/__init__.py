"""INT8 by calibration: ranges, Q/DQ placement, layers that stay in float."""
