"""What peers.py compares, behind one interface:

    name
    load(case)    a network and a patch; raises LeftOut with a sentence where it cannot be
    answer()      y, also the warm-up; None of what computes something else than the whole network
    time()        ms
    close()
"""
import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np


class LeftOut(Exception):
    """One sentence: why."""


@dataclasses.dataclass
class Case:
    model: str
    x: np.ndarray  # (1, 1, d, h, w)
    folder: Path   # for files of this case
    files: dict    # "weights": PATH, and "onnx" where this srengine writes it
    precision: str = "fp32"

    @property
    def label(self):
        return self.model if self.precision == "fp32" else f"{self.model} {self.precision}"


@dataclasses.dataclass
class Machine:
    threads: int
    device: str  # "cpu", "cuda:0", ...


class Worker:
    """A peer in a process of its own, in an interpreter of its own: worker.py."""

    FROM_ONNX = ("onnxruntime", "openvino", "tensorrt")

    def __init__(self, word, python, machine):
        self.word, self.machine = word, machine
        self.process = subprocess.Popen([python, Path(__file__).with_name("worker.py"), word, machine.device],
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.name = self._answer()["name"]

    def _answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"its process ended with {self.process.wait()}"}
        if "error" in answer:
            raise LeftOut(answer["error"])
        return answer

    def _ask(self, what, **request):
        try:
            print(json.dumps({"do": what, **request}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # how it ended is said by the answer that is not there
        return self._answer()

    def load(self, case):
        if self.word in self.FROM_ONNX and "onnx" not in case.files:
            raise LeftOut("there is no ONNX file")
        self.result = case.folder / f"{self.process.pid}.npy"
        patch = case.folder / "patch.npy"
        np.save(patch, case.x)
        self._ask("load", files={kind: str(path) for kind, path in case.files.items()}, patch=str(patch),
                  setting={"precision": case.precision, **dataclasses.asdict(self.machine)})

    def answer(self):
        self._ask("run", result=str(self.result))
        return np.load(self.result)

    def time(self):
        return self._ask("time")["ms"]

    def close(self):
        self.process.communicate()


class Program:
    """A program that times itself: a process for each measurement."""

    def __init__(self, path, machine):
        self.path, self.machine = path, machine

    def call(self, *words):
        try:
            done = subprocess.run([self.path, *map(str, words)], capture_output=True, text=True)
        except OSError as e:
            raise LeftOut(e) from e
        if done.returncode:
            raise LeftOut((done.stderr.strip() or f"{self.path} failed").splitlines()[-1])
        return done.stdout

    def close(self):
        pass
