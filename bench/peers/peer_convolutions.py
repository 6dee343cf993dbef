"""The convolutions of a network in a library and nothing else of it: onednn_convs.cpp on the CPU, cudnn_convs.cpp on a
GPU. Both check what they time."""
import json

from systems import Program


class Convolutions(Program):
    def __init__(self, library, path, machine):
        super().__init__(path, machine)
        self.options = (["--device", machine.device.partition(":")[2]]
                        if machine.device.startswith("cuda") else ["--threads", machine.threads])
        self.name = f"{library} {self._figures('b1u1', 2, 'fp32')['version']}, convolutions only"

    def _figures(self, model, edge, precision, repeats=1):
        chosen = ["--precision", precision] if self.machine.device.startswith("cuda") else []
        return json.loads(self.call("--model", model, "--patch", edge, "--repeats", repeats, *chosen, *self.options))

    def load(self, case):
        self.case = case

    def answer(self):
        return None

    def time(self):
        """A warm-up and one run through all of them; ten, which are short, on a GPU."""
        repeats = 10 if self.machine.device.startswith("cuda") else 1
        return self._figures(self.case.model, self.case.x.shape[-1], self.case.precision, repeats)["ms"]
