"""oneDNN's convolutions of a network and nothing else of it: onednn_convs.cpp, which checks each against plain loops."""
import json

from systems import Program


class OneDnn(Program):
    def __init__(self, path, threads):
        super().__init__(path, threads)
        self.name = f"oneDNN {self._figures('b1u1', 2)['version']}, convolutions only"

    def _figures(self, model, edge):
        return json.loads(self.call("--model", model, "--patch", edge, "--threads", self.threads, "--repeats", 1))

    def load(self, case):
        self.case = case

    def answer(self):
        return None

    def time(self):
        """One warm-up and one run through all of them."""
        return self._figures(self.case.model, self.case.x.shape[-1])["ms"]
