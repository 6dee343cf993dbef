"""PyTorch on the CPU: the networks' definitions, tests/reference, with the weights file's numbers."""
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))
from baselines_torch import from_weights_file  # noqa: E402

VARIANTS = {"": "", "last": " channels-last", "compile": " compiled"}


class Peer:
    def __init__(self, variant):
        self.name = f"PyTorch {torch.__version__.split('+')[0]}{VARIANTS[variant]}"
        self.variant = variant

    def load(self, files, threads, shape):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.net = from_weights_file(files["weights"]).train()  # batch-norm over the patch
        self.layout = torch.channels_last_3d if self.variant == "last" else torch.contiguous_format
        self.net.to(memory_format=self.layout)
        if self.variant == "compile":
            self.net = torch.compile(self.net, dynamic=False)

    def run(self, x):
        return self.net(torch.from_numpy(x).contiguous(memory_format=self.layout)).numpy()
