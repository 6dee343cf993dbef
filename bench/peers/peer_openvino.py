"""OpenVINO on the CPU, with the file of `srengine export`, compiled for the patch's shape."""
import openvino


class Peer:
    def __init__(self, variant, device):
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"

    def load(self, files, setting, shape):
        core = openvino.Core()
        model = core.read_model(str(files["onnx"]))
        model.reshape(shape)
        self.compiled = core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": setting.threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})

    def run(self, x):
        return self.compiled(x)[0]
