"""How a network learns: models, losses, data, the loop and its checkpoints."""

from infer.mkl import use_avx2_on_amd

use_avx2_on_amd()
