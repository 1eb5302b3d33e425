"""How a network learns: models, losses, data, the loop and its checkpoints."""

from infer.missing import need
from infer.mkl import use_avx2_on_amd

need(["pydantic", "tqdm", "yaml"], extra="train")
use_avx2_on_amd()
