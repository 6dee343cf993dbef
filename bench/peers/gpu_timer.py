"""Times what PyTorch, or another library on PyTorch's stream, does with a patch on a GPU."""
import statistics
import time

import torch


class GpuTimer:
    WARM_UPS, REPEATS = 2, 10

    def __init__(self, device):
        torch.cuda.set_device(torch.device(device))
        torch.cuda.set_stream(torch.cuda.Stream())  # on the default one TensorRT waits for the whole device

    def host_copy(self, x):
        """Memory of the host's that the device copies from and to without a detour."""
        return torch.from_numpy(x).pin_memory()

    def milliseconds(self, run):
        """The median of a few runs by the host's clock, after others that wake the device up. run: from a patch on the
        host to the result there, as `srengine bench` is timed."""
        times = []
        for repeat in range(-self.WARM_UPS, self.REPEATS):
            torch.cuda.synchronize()
            start = time.perf_counter()
            run()
            torch.cuda.synchronize()
            if repeat >= 0:
                times.append(1e3 * (time.perf_counter() - start))
        return statistics.median(times)
