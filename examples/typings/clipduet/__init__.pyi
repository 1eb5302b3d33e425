# For mypy: the installed package clipduet is the folder infer/.
from infer import *  # noqa: F403
