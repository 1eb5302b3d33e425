"""From a checkpoint to a bundle: strip, fuse, convert, quantize, verify.

Everything after this room reads the bundle and nothing else.
"""
