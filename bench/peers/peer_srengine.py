"""srengine itself: its own `bench` for the time, a scan of one patch for the answer."""
import json
import struct

import numpy as np

from systems import Program


def write_nifti(path, volume):
    """float32 [z][y][x], voxels of 1 mm."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *volume.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 16, 32)  # float32, its bits
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<2f", header, 108, len(header), 1.0)  # where the voxels begin, their scale
    header[344:348] = b"n+1\0"
    path.write_bytes(bytes(header) + volume.astype("<f4").tobytes())


def read_nifti(path, shape):
    data = path.read_bytes()
    (offset,) = struct.unpack_from("<f", data, 108)
    return np.frombuffer(data, "<f4", offset=int(offset)).reshape(shape)


class Srengine(Program):
    def __init__(self, path, machine, target=None):
        super().__init__(path, machine)
        self.name = self.call("--version").strip()
        self.on_cpu = ["--threads", machine.threads, "--device", "cpu"] + (["--target", target] if target else [])

    def export(self, model, option, path):
        self.call("export", "--model", model, option, path)
        return path

    def load(self, case):
        self.case, self.edge = case, case.x.shape[-1]
        self.options = self.on_cpu
        if self.machine.device != "cpu":
            self.options = ["--device", self.machine.device, "--precision", case.precision]

    def answer(self):
        return self._restored(self.options)

    def answer_of_cpu(self):
        return self._restored(self.on_cpu)

    def _restored(self, options):
        """The patch as a scan: nothing beyond it, nothing cut off, nothing put back. Random weights have no rule of
        normalization."""
        scan, result = self.case.folder / "patch.nii", self.case.folder / "result.nii"
        write_nifti(scan, self.case.x[0, 0])
        self.call("run", "--weights", self.case.files["weights"], scan, "-o", result, "--patch", self.edge,
                  "--margin", 0, "--batch-norm", "patch", "--data-consistency", "off", "--quiet", *options)
        return read_nifti(result, self.case.x.shape)

    def time(self):
        """One warm-up and one patch; ten, which are short, on a GPU."""
        figures, patches = self.case.folder / "figures.json", 1 if self.machine.device == "cpu" else 10
        self.call("bench", "--weights", self.case.files["weights"], "--patch", self.edge, "--batch", 1,
                  "--patches", patches, "--json", figures, *self.options)
        self.figures = json.loads(figures.read_text())
        return self.figures["ms_per_patch"]["median"]
