"""The network of two layers held to 256 units each."""

from dataclasses import replace

from holdtrue.models.learner import Dimension
from holdtrue.models.learners import mlp

PLUGIN = replace(
    mlp.PLUGIN,
    space={
        **mlp.PLUGIN.space,
        "units": Dimension(default=256, choices=(256,)),
        "layers": Dimension(default=2, choices=(2,)),
    },
)
