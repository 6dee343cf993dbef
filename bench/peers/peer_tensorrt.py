"""TensorRT 10 or 11 on a GPU, with the file of `srengine export`: in float32 and tf32 as it is, in f16 with every number
in half precision, norms included. bf16 is left out."""
import onnx
import tensorrt
import torch

from gpu_timer import GpuTimer
from half_onnx import in_half_precision


class Peer:
    def __init__(self, variant, device):
        self.name = f"TensorRT {tensorrt.__version__}"
        self.timer = GpuTimer(device)

    def load(self, files, setting, shape):
        if setting.precision == "bf16":
            raise RuntimeError("bf16 is not timed in TensorRT")
        torch.cuda.empty_cache()
        model = onnx.load(str(files["onnx"]))
        if setting.precision == "f16":
            model = in_half_precision(model)
        logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        builder = tensorrt.Builder(logger)
        # Tensors have the types that ONNX gives them; TensorRT 11 has no other networks and ignores the flag.
        network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = tensorrt.OnnxParser(network, logger)
        if not parser.parse(model.SerializeToString()):
            raise RuntimeError(parser.get_error(0).desc())
        settings = builder.create_builder_config()
        if setting.precision != "tf32":
            settings.clear_flag(tensorrt.BuilderFlag.TF32)  # set by default
        profile = builder.create_optimization_profile()  # the file leaves the patch's shape open
        profile.set_shape("x", shape, shape, shape)
        settings.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, settings)
        if plan is None:
            raise RuntimeError("no engine could be built")
        self.runtime = tensorrt.Runtime(logger)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context = self.engine.create_execution_context()
        self.context.set_input_shape("x", shape)
        element = torch.float16 if setting.precision == "f16" else torch.float32
        self.x = torch.empty(shape, dtype=element, device=setting.device)
        self.y = torch.empty_like(self.x)
        self.context.set_tensor_address("x", self.x.data_ptr())
        self.context.set_tensor_address("y", self.y.data_ptr())

    def restore(self):
        self.x.copy_(self.host_x, non_blocking=True)
        if not self.context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("the engine did not run")
        self.host_y.copy_(self.y, non_blocking=True)

    def run(self, x):
        self.host_x = self.timer.host_copy(x)
        self.host_y = self.timer.host_copy(x)
        self.restore()
        torch.cuda.synchronize()
        return self.host_y.numpy()

    def milliseconds(self):
        return self.timer.milliseconds(self.restore)
