"""ONNX Runtime on the CPU, with the file of `srengine export`."""
import onnxruntime


class Peer:
    def __init__(self, variant, device):
        self.name = f"ONNX Runtime {onnxruntime.__version__}"

    def load(self, files, setting, shape):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(files["onnx"]), options, providers=["CPUExecutionProvider"])

    def run(self, x):
        return self.session.run(None, {"x": x})[0]
