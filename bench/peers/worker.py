#!/usr/bin/env python3
"""One peer in a process of its own, in whichever interpreter has it; bench/peers/peers.py starts it and talks to it.

    worker.py PEER DEVICE     PEER is that of peer_PEER.py, with a variant of it behind a hyphen: torch, torch-compile

The first line out is {"name": ...}; then a JSON object a line in, and one out:

    {"do": "load", "files": {"weights": PATH, "onnx": PATH}, "patch": PATH.npy,
     "setting": {"threads": 2, "device": "cpu", "precision": "fp32"}}                         -> {}
    {"do": "run", "result": PATH.npy}     writes the answer; also the warm-up                     -> {}
    {"do": "time"}                                                                            -> {"ms": 701.2}

What goes wrong is {"error": ...}. Between requests the process sleeps, so others can be timed meanwhile.

A peer on a GPU times itself, `milliseconds()`: runs are short there, and the device must be waited for.
"""
import importlib
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace


class Session:
    def __init__(self, word, device):
        module, _, variant = word.partition("-")
        self.peer = importlib.import_module(f"peer_{module}").Peer(variant, device)

    def load(self, files, setting, patch):
        import numpy as np

        self.x = np.load(patch)
        self.peer.load({kind: Path(path) for kind, path in files.items()}, SimpleNamespace(**setting),
                       list(self.x.shape))
        return {}

    def run(self, result):
        import numpy as np

        np.save(result, self.peer.run(self.x))
        return {}

    def time(self):
        if hasattr(self.peer, "milliseconds"):
            return {"ms": self.peer.milliseconds()}
        start = time.perf_counter()
        self.peer.run(self.x)
        return {"ms": 1e3 * (time.perf_counter() - start)}


def sentence(e):
    return f"{type(e).__name__}: {e}".splitlines()[0]


def main():
    # Answers have the real stdout for themselves: libraries print to it as well.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content):
        print(json.dumps(content), file=answers, flush=True)

    try:
        session = Session(*sys.argv[1:])
    except Exception as e:  # libraries that do not load are as good as none
        answer({"error": sentence(e)})
        return
    answer({"name": session.peer.name})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(session, request.pop("do"))(**request))
        except Exception as e:
            answer({"error": sentence(e)})


if __name__ == "__main__":
    main()
