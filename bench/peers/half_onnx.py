"""A network of `srengine export --onnx` with its numbers, input and output in half precision."""
import numpy as np
from onnx import TensorProto, numpy_helper


def in_half_precision(model):
    """Changes the model. Its operations are of one type throughout: they take the type of what they read."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model
