"""How a network learns: models, losses, data, the loop and its checkpoints."""

from infer.command.missing import need
from infer.libraries.mkl import use_avx2_on_amd

need(["pydantic", "tqdm", "yaml"], extra="train")
use_avx2_on_amd()
