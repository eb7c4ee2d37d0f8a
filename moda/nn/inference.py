"""A convolution network as it is computed fastest on a CPU: the same function, to rounding."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class OneThreadEach(ThreadPoolExecutor):
    """Threads in each of which torch computes with one thread.

    Small convolutions gain little by several cores each, and wait for one another where others use the machine.
    """

    def __init__(self, count: int) -> None:
        self._before = torch.get_num_threads()
        super().__init__(count, initializer=torch.set_num_threads, initargs=(1,))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads; torch's own number is that of before, as theirs holds for others that are yet to begin."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        torch.set_num_threads(self._before)


def for_cpu(network: nn.Module) -> nn.Module:
    """A copy in eval mode, each batch norm after a convolution folded into it, channels of a pixel side by side.

    Measured on the refining renderer, one core: two thirds of the time.
    """
    made = copy.deepcopy(network).eval()
    for module in made.modules():
        if isinstance(module, nn.Sequential):
            for index, (first, second) in enumerate(pairwise(module)):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(first, second)
                    module[index + 1] = nn.Identity()
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
