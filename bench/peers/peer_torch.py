"""PyTorch on the CPU or a GPU: the networks' definitions, tests/reference, with the weights file's numbers.

On a GPU, eagerly (`torch`), in the channels-last layout (`torch-last`) or compiled in it (`torch-compile`); tf32 by
PyTorch's switches, f16 and bf16 under autocast, as its users do.
"""
import contextlib
import sys
from pathlib import Path

import torch

from gpu_timer import GpuTimer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))
from baselines_torch import from_weights_file  # noqa: E402

VARIANTS = {"": "", "last": " channels-last", "compile": " compiled"}
AUTOCAST = {"f16": torch.float16, "bf16": torch.bfloat16}


class TorchOnCpu:
    def __init__(self, variant):
        self.name = f"PyTorch {torch.__version__.split('+')[0]}{VARIANTS[variant]}"
        self.variant = variant
        torch.set_grad_enabled(False)

    def prepare(self, files, setting, channels_last):
        torch.set_num_threads(setting.threads)
        self.device = torch.device(setting.device)
        self.net = from_weights_file(files["weights"]).train()  # batch-norm over the patch
        self.layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        self.net.to(device=self.device, memory_format=self.layout)
        if self.variant == "compile":
            torch._dynamo.reset()  # or what was compiled before fills its cache, and this would run eagerly
            self.net = torch.compile(self.net, dynamic=False)

    def load(self, files, setting, shape):
        self.prepare(files, setting, self.variant == "last")

    def run(self, x):
        return self.net(torch.from_numpy(x).contiguous(memory_format=self.layout)).numpy()


class TorchOnGpu(TorchOnCpu):
    def load(self, files, setting, shape):
        self.timer = GpuTimer(setting.device)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = setting.precision == "tf32"
        self.prepare(files, setting, self.variant != "")
        for parameter in self.net.parameters():
            parameter.requires_grad_(False)
        half = AUTOCAST.get(setting.precision)
        self.arithmetic = lambda: torch.autocast("cuda", half) if half else contextlib.nullcontext()

    def run(self, x):
        self.x = torch.from_numpy(x).to(self.device).contiguous(memory_format=self.layout)
        with self.arithmetic():
            return self.net(self.x).float().cpu().numpy()

    def milliseconds(self):
        with self.arithmetic():
            return self.timer.milliseconds(lambda: self.net(self.x))


class Peer:
    def __new__(cls, variant, device):
        return (TorchOnGpu if device.startswith("cuda") else TorchOnCpu)(variant)
