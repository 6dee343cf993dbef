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
    def __init__(self, variant, device):
        super().__init__(variant)
        self.timer = GpuTimer(device)
        torch.backends.cudnn.benchmark = True

    def load(self, files, setting, shape):
        torch.cuda.empty_cache()  # of the case before: others need the memory
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = setting.precision == "tf32"
        self.prepare(files, setting, self.variant != "")
        half = AUTOCAST.get(setting.precision)
        # Weights are cast once for as long as it lasts, since they could be trained.
        self.arithmetic = lambda: torch.autocast("cuda", half) if half else contextlib.nullcontext()

    def restore(self):
        x = self.x.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
        self.y.copy_(self.net(x), non_blocking=True)

    def run(self, x):
        self.x = self.timer.host_copy(x)
        self.y = self.timer.host_copy(x)
        with self.arithmetic():
            self.restore()
        torch.cuda.synchronize()
        return self.y.numpy()

    def milliseconds(self):
        with self.arithmetic():
            return self.timer.milliseconds(self.restore)


class Peer:
    def __new__(cls, variant, device):
        return TorchOnGpu(variant, device) if device.startswith("cuda") else TorchOnCpu(variant)
