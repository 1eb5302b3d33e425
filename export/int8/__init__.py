"""INT8 by calibration: ranges, Q/DQ placement, layers that stay in float.

files                    the 8-bit files of a bundle; begin here
quantize                 calibrates once and quantises; `ranges`: what each tensor takes
placement, qdq           where 8 bits begin and end; the nodes that say so
means, pads              forms that every engine computes right
goal, search             what accuracy may be lost; the fewest layers in float that keep it
trials, layer_errors     networks and layers compared with fp32
options, defaults        what commands take
"""
