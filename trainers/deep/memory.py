"""Whether a network can be trained on this machine at all, asked before it is built."""

import torch

from trainers.deep.device import Compute
from trainers.protocol import ConfigProblem
from trainers.room import machine_bytes

BYTES_A_PARAMETER = 16  # the weight, its gradient, and the two averages of AdamW, in float32


def check_room(parameters: int, compute: Compute, name: str) -> None:
    """Raises ConfigProblem where so many parameters cannot be trained in the memory that there is."""
    needed, there = parameters * BYTES_A_PARAMETER, memory_bytes(compute)
    if needed > there:
        sentence = (
            f"{name} with these settings has {parameters:,} parameters, which take {needed / 1e9:.0f} GB to train; "
            f"there are {there / 1e9:.0f} GB. Set a smaller hidden_size or fewer num_layers."
        )
        raise ConfigProblem(sentence, details={"hidden_size": [sentence]})


def memory_bytes(compute: Compute) -> int:
    """Of the GPU where it computes there, else of the machine or of what its container may use."""
    if compute.device.type == "cuda":
        return int(torch.cuda.get_device_properties(compute.device).total_memory)
    return machine_bytes()
