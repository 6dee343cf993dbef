"""Times what PyTorch queues on a GPU, or another library on PyTorch's stream."""
import statistics

import torch


class GpuTimer:
    WARM_UPS, REPEATS = 2, 10

    def __init__(self, device):
        torch.cuda.set_device(torch.device(device))
        torch.cuda.set_stream(torch.cuda.Stream())  # on the default one TensorRT waits for the whole device

    def milliseconds(self, run):
        """The median of a few runs, after others that wake the device up."""
        times = []
        for repeat in range(-self.WARM_UPS, self.REPEATS):
            start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run()
            stop.record()
            torch.cuda.synchronize()
            if repeat >= 0:
                times.append(start.elapsed_time(stop))
        return statistics.median(times)
