"""Reads weights files (docs/weights-format.md): safetensors with srengine's metadata. NumPy is all it needs."""
import json

import numpy as np


def _header(raw):
    n = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + n]), raw[8 + n :]


def read_tensors(path):
    """name: float32 array."""
    header, data = _header(path.read_bytes())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            kind = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
            tensors[name] = np.frombuffer(data[begin:end], kind).astype(np.float32).reshape(entry["shape"])
    return tensors


def read_model(path):
    """The network's description and the rule of normalization, as dictionaries."""
    metadata = _header(path.read_bytes())[0]["__metadata__"]
    return json.loads(metadata["srengine.model"]), json.loads(metadata["srengine.normalization"])
