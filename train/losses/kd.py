"""Knowledge distillation: the student takes the teacher's probabilities for its target.

The same term is the step of several methods: with a frozen teacher and the labels it is Hinton's,
without the labels a generation of label refinery, and both ways between networks that learn it is
deep mutual learning as its paper has it.
"""

from __future__ import annotations

from paddle import Tensor

from train.losses.float32 import full_precision, log_softmax
from train.losses.standardize import standardized


@full_precision
def kl_divergence(
    student: Tensor, teacher: Tensor, *, temperature: float = 4.0, standardize: bool = False
) -> Tensor:
    """KL(teacher || student) at a temperature, times its square (Hinton et al., 2015).

    The square keeps the size of the gradient, whatever the temperature. No gradient flows into
    the teacher.

    Args:
        student: logits, float `[N, C]`.
        teacher: logits, float `[N, C]`.
        temperature: divides the logits before the softmax.
        standardize: make each clip's logits Z-scores first, see `train.losses.standardize`.
    """
    teacher = teacher.detach()
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    log_p = log_softmax(student / temperature)
    log_t = log_softmax(teacher / temperature)
    return temperature**2 * (log_t.exp() * (log_t - log_p)).sum(axis=-1).mean()
