// The table of kernels/cuda/api.h: the CUDA runtime behind plain functions, and the choice of a kernel for a layer.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/cufft_library.h"
#include "kernels/cuda/kspace.h"
#include "kernels/cuda/limits.h"
#include "kernels/cuda/nccl_library.h"
#include "kernels/cuda/norm_lrelu.h"
#include "kernels/cuda/patch.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/cuda/portability.h"
#include "kernels/cuda/statistics.h"
#include "kernels/cuda/strided_conv3d.h"
#include "kernels/cuda/training.h"

namespace sr::cuda {
namespace {

thread_local char last_error_text[512] = "";

Result fail(const char* what, const char* why) {
  std::snprintf(last_error_text, sizeof last_error_text, "%s: %s", what, why);
  return Result::failed;
}

Result check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return Result::ok;
  cudaGetLastError();  // or the next call would report it again
  fail(what, cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? Result::out_of_memory : Result::failed;
}

Result launched(const char* what) {
  return check(cudaGetLastError(), what);
}

const char* last_error() {
  return last_error_text;
}

const char* description() {
  static char text[32];
  int version = 0;
  cudaRuntimeGetVersion(&version);
  std::snprintf(text, sizeof text, "CUDA %d.%d", version / 1000, version % 1000 / 10);
  return text;
}

// A launch as a function of the table, with what is said of one that was not taken:
// Checked<&add_images>::call<"adding images">.
template <size_t N>
struct Text {
  char text[N] = {};
  constexpr Text(const char (&words)[N]) {
    for (size_t i = 0; i < N; i++) text[i] = words[i];
  }
};
template <auto launch>
struct Checked;
template <class... Args, void (*launch)(Args...)>
struct Checked<launch> {
  template <Text what>
  static Result call(Args... args) {
    launch(args...);
    return launched(what.text);
  }
};

// ---- devices ----

Result device_count(int* n) {
  *n = 0;  // the call below leaves it alone where it fails
  int driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
    return fail("CUDA", "there is no NVIDIA driver on this machine");
  return check(cudaGetDeviceCount(n), "looking for GPUs");
}

Result device_info(int device, DeviceInfo* info) {
  cudaDeviceProp properties;
  if (const Result r = check(cudaGetDeviceProperties(&properties, device), "asking the GPU what it is");
      r != Result::ok)
    return r;
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->capability_major = properties.major;
  info->capability_minor = properties.minor;
  info->n_multiprocessors = properties.multiProcessorCount;
  size_t free_bytes = 0, total_bytes = 0;
  int current = 0;
  cudaGetDevice(&current);
  if (Result r = check(cudaSetDevice(device), "using the GPU"); r != Result::ok) return r;
  const Result r = check(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for free GPU memory");
  cudaSetDevice(current);
  info->free_memory = static_cast<int64_t>(free_bytes);
  info->total_memory = static_cast<int64_t>(total_bytes);
  return r;
}

// A kernel of no use but to see whether there is code for the GPU.
__global__ void probe() {}

Result use_device(int device) {
  if (const Result r = check(cudaSetDevice(device), "using the GPU"); r != Result::ok) return r;
  cudaFuncAttributes attributes;
  return check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&probe)),
               "this build has no code for the GPU");
}

// ---- memory, streams, graphs, events ----

Result allocate(void** device, int64_t n_bytes) {
  return check(cudaMalloc(device, static_cast<size_t>(n_bytes)), "allocating GPU memory");
}
void release(void* device) {
  cudaFree(device);
}
Result allocate_pinned(void** host, int64_t n_bytes) {
  return check(cudaMallocHost(host, static_cast<size_t>(n_bytes)), "allocating pinned memory");
}
void release_pinned(void* host) {
  cudaFreeHost(host);
}
cudaStream_t stream_of(Stream stream) {
  return static_cast<cudaStream_t>(stream);
}
cudaEvent_t event_of(Event event) {
  return static_cast<cudaEvent_t>(event);
}

Result upload(void* device, const void* host, int64_t n_bytes, Stream stream) {
  return check(cudaMemcpyAsync(device, host, static_cast<size_t>(n_bytes), cudaMemcpyHostToDevice, stream_of(stream)),
               "copying to the GPU");
}
Result download(void* host, const void* device, int64_t n_bytes, Stream stream) {
  return check(cudaMemcpyAsync(host, device, static_cast<size_t>(n_bytes), cudaMemcpyDeviceToHost, stream_of(stream)),
               "copying from the GPU");
}

Result create_stream(Stream* stream) {
  cudaStream_t s = nullptr;
  const Result r = check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "creating a stream");
  *stream = s;
  return r;
}
void destroy_stream(Stream stream) {
  cudaStreamDestroy(stream_of(stream));
}
Result synchronize(Stream stream) {
  return check(cudaStreamSynchronize(stream_of(stream)), "running on the GPU");
}

Result begin_capture(Stream stream) {
  return check(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal), "recording a graph");
}
Result end_capture(Stream stream, Graph* graph) {
  cudaGraph_t recorded = nullptr;
  if (const Result r = check(cudaStreamEndCapture(stream_of(stream), &recorded), "recording a graph"); r != Result::ok)
    return r;
  cudaGraphExec_t ready = nullptr;
  const Result r = check(cudaGraphInstantiate(&ready, recorded, 0), "preparing a graph");
  cudaGraphDestroy(recorded);
  *graph = ready;
  return r;
}
Result launch(Graph graph, Stream stream) {
  return check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(stream)), "launching a graph");
}
void destroy_graph(Graph graph) {
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

Result create_event(Event* event) {
  cudaEvent_t e = nullptr;
  const Result r = check(cudaEventCreate(&e), "creating an event");
  *event = e;
  return r;
}
void destroy_event(Event event) {
  cudaEventDestroy(event_of(event));
}
Result record(Event event, Stream stream) {
  return check(cudaEventRecord(event_of(event), stream_of(stream)), "recording an event");
}
Result wait_on_stream(Stream stream, Event event) {
  return check(cudaStreamWaitEvent(stream_of(stream), event_of(event), 0), "waiting for an event");
}
Result wait_on_host(Event event) {
  return check(cudaEventSynchronize(event_of(event)), "running on the GPU");
}
Result elapsed_ms(Event first, Event last, float* milliseconds) {
  return check(cudaEventElapsedTime(milliseconds, event_of(first), event_of(last)), "timing");
}

Result checked_measure_limits(double* gflops, double* gbytes_per_s) {
  const Result r = measure_limits(gflops, gbytes_per_s);
  return r == Result::ok ? r : (fail("measuring the GPU", cudaGetErrorString(cudaGetLastError())), r);
}

// ---- operations ----

// A layer's kernel. The first layer and those of one output have nothing for tensor cores to do, whatever is stored.
enum class Kernel { stem, wide, direct, pointwise, tensor, pointwise_tensor };

Kernel kernel_of(const ConvWeights& s, Precision precision) {
  if (s.size > 3) return Kernel::wide;
  if (s.ci == 1 && s.size == 3) return Kernel::stem;
  const bool tensor = precision != Precision::fp32 && s.co > 1;
  if (s.size == 3) return tensor ? Kernel::tensor : Kernel::direct;
  return tensor ? Kernel::pointwise_tensor : Kernel::pointwise;
}

const char* supports(const ConvWeights& s, Precision precision) {
  const bool wide = s.size == 5 || s.size == 9;
  if (s.size != 1 && s.size != 3 && !wide) return "a convolution is none of 1x1x1, 3x3x3, 5x5x5 and 9x9x9";
  if (s.ci != 1 && s.ci % 4 != 0) return "its channel counts are no multiples of 4";
  if (s.co != 1 && s.co % 4 != 0) return "its channel counts are no multiples of 4";
  if (s.ci == 1 && (s.size == 1 || s.co == 1)) return "a layer with one channel in is 1x1x1 or has one channel out";
  if (wide && s.ci > 1 && s.co > 1) return "a 5x5x5 or 9x9x9 layer has neither one channel in nor one out";
  if (precision == Precision::fp32) return nullptr;

  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
    cudaGetLastError();  // or the next call would report it again
    return "there is no GPU to ask for its tensor cores";
  }
  const int capability = 10 * major + minor;
  if (precision == Precision::f16 && capability < 75) return "f16 needs compute capability 7.5, a GPU of 2018 or newer";
  if (precision == Precision::bf16 && capability < 80)
    return "bf16 needs compute capability 8.0 or newer; f16 takes 7.5";
  if (precision == Precision::tf32 && capability < 80)
    return "tf32 needs compute capability 8.0 or newer; f16 takes 7.5";
  return nullptr;
}

int64_t conv3d_packed_bytes(const ConvWeights& s, Precision precision) {
  switch (kernel_of(s, precision)) {
    case Kernel::tensor:
      return conv3x3x3_tensor_packed_bytes(s, precision);
    case Kernel::pointwise_tensor:
      return conv1x1x1_tensor_packed_bytes(s, precision);
    default:
      return int64_t{s.size} * s.size * s.size * s.ci * s.co * int64_t{sizeof(float)};
  }
}

void conv3d_pack(const ConvWeights& conv, Precision precision, void* packed) {
  switch (kernel_of(conv, precision)) {
    case Kernel::stem:
      return conv3x3x3_stem_pack(conv, static_cast<float*>(packed));
    case Kernel::wide:
      return conv3d_wide_pack(conv, static_cast<float*>(packed));
    case Kernel::direct:
      return conv3x3x3_direct_pack(conv, static_cast<float*>(packed));
    case Kernel::pointwise:
      return conv1x1x1_pack(conv, static_cast<float*>(packed));
    case Kernel::tensor:
      return conv3x3x3_tensor_pack(conv, precision, packed);
    case Kernel::pointwise_tensor:
      return conv1x1x1_tensor_pack(conv, precision, packed);
  }
}

int conv3d_parts(const ConvWeights& s, Precision precision, Size3 patch) {
  switch (kernel_of(s, precision)) {
    case Kernel::stem:
      return conv3x3x3_stem_parts(patch);
    case Kernel::wide:
      return conv3d_wide_parts(patch);
    case Kernel::direct:
      return conv3x3x3_direct_parts(patch);
    case Kernel::pointwise:
      return conv1x1x1_parts(s, patch);
    case Kernel::tensor:
      return conv3x3x3_tensor_parts(patch);
    default:
      return conv1x1x1_tensor_parts(s, precision, patch);
  }
}

Result conv3d_forward(const Conv3dForward& conv, Stream stream) {
  switch (kernel_of(conv.shape, conv.precision)) {
    case Kernel::stem:
      conv3x3x3_stem_forward(conv, stream);
      break;
    case Kernel::wide:
      conv3d_wide_forward(conv, stream);
      break;
    case Kernel::direct:
      conv3x3x3_direct_forward(conv, stream);
      break;
    case Kernel::pointwise:
      conv1x1x1_forward(conv, stream);
      break;
    case Kernel::tensor:
      conv3x3x3_tensor_forward(conv, stream);
      break;
    case Kernel::pointwise_tensor:
      conv1x1x1_tensor_forward(conv, stream);
      break;
  }
  return launched("convolution");
}

// ---- training ----

Result conv3d_backward_data(const Conv3dBackwardData& conv, Stream stream) {
  if (conv.shape.size > 3)
    conv3d_wide_backward(conv, stream);
  else if (conv.shape.size == 1)
    conv1x1x1_backward(conv, stream);
  else if (conv.shape.ci == 1)
    conv3x3x3_stem_backward(conv, stream);
  else
    conv3x3x3_direct_backward(conv, stream);
  return launched("the gradient of a convolution");
}

int gradient_parts(const ConvWeights& s, Size3 patch, int n_patches) {
  return s.size == 1   ? conv1x1x1_gradient_parts(patch, n_patches)
         : s.size == 3 ? conv3x3x3_gradient_parts(patch, n_patches)
                       : conv3d_wide_gradient_parts(patch, n_patches);
}

Result conv3d_backward_weights(const Conv3dBackwardWeights& conv, Stream stream) {
  if (conv.shape.size == 1)
    conv1x1x1_gradient(conv, stream);
  else if (conv.shape.size == 3)
    conv3x3x3_gradient(conv, stream);
  else
    conv3d_wide_gradient(conv, stream);
  return launched("the gradient of weights");
}

Result copy(int64_t n, const float* from, float* to, Stream stream) {
  return check(
      cudaMemcpyAsync(to, from, static_cast<size_t>(n) * sizeof(float), cudaMemcpyDeviceToDevice, stream_of(stream)),
      "copying on the GPU");
}

// ---- several ranks ----

const NcclLibrary& nccl() {
  const char* why_not = nullptr;
  return *nccl_library(&why_not);
}
Result check_nccl(int result, const char* what) {
  return result == nccl_success ? Result::ok : fail(what, nccl().error_string(result));
}

const char* communicator_missing() {
  const char* why_not = nullptr;
  return nccl_library(&why_not) ? nullptr : why_not;
}
Result make_communicator_id(char id[communicator_id_bytes]) {
  NcclId made;
  const Result r = check_nccl(nccl().get_unique_id(&made), "NCCL's id");
  std::memcpy(id, made.internal, sizeof made.internal);
  return r;
}
Result join(const char id[communicator_id_bytes], int rank, int n_ranks, Communicator* communicator) {
  NcclId shared;
  std::memcpy(shared.internal, id, sizeof shared.internal);
  return check_nccl(nccl().init_rank(communicator, n_ranks, shared, rank), "joining the other ranks by NCCL");
}
void leave(Communicator communicator) {
  nccl().destroy(communicator);
}
Result add_up(Communicator communicator, void* values, int64_t n, int type, Stream stream) {
  return check_nccl(
      nccl().all_reduce(values, values, static_cast<size_t>(n), type, nccl_sum, communicator, stream_of(stream)),
      "adding up over ranks by NCCL");
}
Result add_up_floats(Communicator communicator, float* values, int64_t n, Stream stream) {
  return add_up(communicator, values, n, nccl_float, stream);
}
Result add_up_doubles(Communicator communicator, double* values, int64_t n, Stream stream) {
  return add_up(communicator, values, n, nccl_double, stream);
}

// ---- Fourier transforms ----

// A number is all that cuFFT gives; the names are cufft.h's.
Result check_fft(cufftResult result, const char* what) {
  if (result == CUFFT_SUCCESS) return Result::ok;
  const char* why = result == CUFFT_INVALID_PLAN     ? "the plan is not valid"
                    : result == CUFFT_ALLOC_FAILED   ? "out of memory"
                    : result == CUFFT_INVALID_VALUE  ? "a value is not valid"
                    : result == CUFFT_INTERNAL_ERROR ? "an internal error"
                    : result == CUFFT_EXEC_FAILED    ? "the transform could not be executed"
                    : result == CUFFT_SETUP_FAILED   ? "it could not be initialised"
                    : result == CUFFT_INVALID_SIZE   ? "it does not offer this size"
                                                     : "an error";
  char sentence[128];
  std::snprintf(sentence, sizeof sentence, "%s (cuFFT error %d)", why, static_cast<int>(result));
  fail(what, sentence);
  return result == CUFFT_ALLOC_FAILED ? Result::out_of_memory : Result::failed;
}

// Looked up again, not kept: a pointer into the table is all it costs.
const CufftLibrary& cufft() {
  const char* why_not = nullptr;
  return *cufft_library(&why_not);
}

const char* fft_missing() {
  const char* why_not = nullptr;
  return cufft_library(&why_not) ? nullptr : why_not;
}

// A plan travels as a pointer that is its handle plus 1: a handle may be 0, and null is no plan.
Fft from_handle(cufftHandle handle) {
  return reinterpret_cast<Fft>(static_cast<intptr_t>(handle) + 1);
}
cufftHandle handle_of(Fft plan) {
  return static_cast<cufftHandle>(reinterpret_cast<intptr_t>(plan) - 1);
}

void destroy_fft(Fft plan) {
  cufft().destroy(handle_of(plan));
}

Result plan_fft(int length, int count, LineOrder order, Fft* plan, int64_t* n_work_bytes) {
  constexpr const char* what = "planning Fourier transforms";
  cufftHandle handle = 0;
  if (const Result r = check_fft(cufft().create(&handle), what); r != Result::ok) return r;
  // Sample s of line l is data[l * distance + s * stride]. In one dimension cuFFT reads of inembed and onembed only
  // that they are not null; null would mean rows whatever the strides say.
  const int stride = order == LineOrder::rows ? 1 : count;
  const int distance = order == LineOrder::rows ? length : 1;
  size_t bytes = 0;
  Result r = check_fft(cufft().set_auto_allocation(handle, 0), what);
  if (r == Result::ok)
    r = check_fft(cufft().make_plan_many(handle, 1, &length, &length, stride, distance, &length, stride, distance,
                                         CUFFT_C2C, count, &bytes),
                  what);
  if (r != Result::ok) {
    cufft().destroy(handle);
    return r;
  }
  *plan = from_handle(handle);
  *n_work_bytes = static_cast<int64_t>(bytes);
  return Result::ok;
}

Result run_fft(Fft plan, Complex* block, bool inverse, void* work, Stream stream) {
  constexpr const char* what = "a Fourier transform";
  const cufftHandle handle = handle_of(plan);
  auto* data = reinterpret_cast<cufftComplex*>(block);
  Result r = check_fft(cufft().set_stream(handle, stream_of(stream)), what);
  if (r == Result::ok) r = check_fft(cufft().set_work_area(handle, work), what);
  if (r == Result::ok)
    r = check_fft(cufft().exec_c2c(handle, data, data, inverse ? CUFFT_INVERSE : CUFFT_FORWARD), what);
  return r;
}

constexpr Api api = {
    .version = api_version,
    .description = description,
    .last_error = last_error,
    .device_count = device_count,
    .device_info = device_info,
    .use_device = use_device,
    .allocate = allocate,
    .release = release,
    .allocate_pinned = allocate_pinned,
    .release_pinned = release_pinned,
    .upload = upload,
    .download = download,
    .create_stream = create_stream,
    .destroy_stream = destroy_stream,
    .synchronize = synchronize,
    .begin_capture = begin_capture,
    .end_capture = end_capture,
    .launch = launch,
    .destroy_graph = destroy_graph,
    .create_event = create_event,
    .destroy_event = destroy_event,
    .record = record,
    .wait_on_stream = wait_on_stream,
    .wait_on_host = wait_on_host,
    .elapsed_ms = elapsed_ms,
    .measure_limits = checked_measure_limits,
    .supports = supports,
    .conv3d_packed_bytes = conv3d_packed_bytes,
    .conv3d_pack = conv3d_pack,
    .conv3d_parts = conv3d_parts,
    .conv3d_forward = conv3d_forward,
    .add_parts = Checked<&add_parts>::call<"adding channel sums">,
    .norm_affine = Checked<&norm_affine>::call<"batch-norm statistics">,
    .gather_patches = Checked<&gather_patches>::call<"gathering patches">,
    .merge_patches = Checked<&merge_patches>::call<"merging patches">,
    .prelu = Checked<&prelu>::call<"PReLU">,
    .norm_add = Checked<&norm_add>::call<"adding normalised features">,
    .add_images = Checked<&add_images>::call<"adding images">,
    .fft_missing = fft_missing,
    .plan_fft = plan_fft,
    .run_fft = run_fft,
    .destroy_fft = destroy_fft,
    .gather_lines = Checked<&gather_lines>::call<"gathering lines">,
    .crop_lines = Checked<&crop_lines>::call<"cutting spectra">,
    .scatter_lines = Checked<&scatter_lines>::call<"scattering lines">,
    .training = {.conv3d_backward_data = conv3d_backward_data,
                 .gradient_parts = gradient_parts,
                 .conv3d_backward_weights = conv3d_backward_weights,
                 .channel_totals = Checked<&channel_totals>::call<"a step of training">,
                 .sum_parts = Checked<&sum_parts>::call<"a step of training">,
                 .add_batch_parts = Checked<&add_batch_parts>::call<"a step of training">,
                 .batch_moments = Checked<&batch_moments>::call<"a step of training">,
                 .moments_affine = Checked<&moments_affine>::call<"a step of training">,
                 .norm_gradients = Checked<&norm_gradients>::call<"a step of training">,
                 .norm_carry = Checked<&norm_carry>::call<"a step of training">,
                 .pointwise_parts = pointwise_parts,
                 .prelu_backward = Checked<&prelu_backward>::call<"a step of training">,
                 .norm_add_backward = Checked<&norm_add_backward>::call<"a step of training">,
                 .settle_gradients = Checked<&settle_gradients>::call<"a step of training">,
                 .l1_parts = l1_parts,
                 .l1_loss = Checked<&l1_loss>::call<"a step of training">,
                 .pick = Checked<&pick>::call<"a step of training">,
                 .sum_of_squares = Checked<&sum_of_squares>::call<"a step of training">,
                 .adam_step = Checked<&adam_step>::call<"a step of training">,
                 .move_running_statistics = Checked<&move_running_statistics>::call<"a step of training">,
                 .communicator_missing = communicator_missing,
                 .make_communicator_id = make_communicator_id,
                 .join = join,
                 .leave = leave,
                 .add_up_floats = add_up_floats,
                 .add_up_doubles = add_up_doubles},
    .critic = {.strided_conv3d_forward = Checked<&strided_conv3d_forward>::call<"a step of the critic">,
               .strided_conv3d_backward_data = Checked<&strided_conv3d_backward_data>::call<"a step of the critic">,
               .strided_conv3d_partial = strided_conv3d_partial,
               .strided_conv3d_backward_weights =
                   Checked<&strided_conv3d_backward_weights>::call<"a step of the critic">,
               .norm_lrelu_partial = norm_lrelu_partial,
               .norm_lrelu_forward = Checked<&norm_lrelu_forward>::call<"a step of the critic">,
               .norm_lrelu_backward = Checked<&norm_lrelu_backward>::call<"a step of the critic">,
               .norm_lrelu_tangent = Checked<&norm_lrelu_tangent>::call<"a step of the critic">,
               .norm_lrelu_backward_tangent = Checked<&norm_lrelu_backward_tangent>::call<"a step of the critic">,
               .interpolate = Checked<&interpolate>::call<"a step of the critic">,
               .penalty_direction = Checked<&penalty_direction>::call<"a step of the critic">,
               .add_scaled = Checked<&add_scaled>::call<"a step of the critic">,
               .fill = Checked<&fill>::call<"a step of the critic">,
               .copy = copy},
};

}  // namespace
}  // namespace sr::cuda

extern "C" __attribute__((visibility("default"))) const sr::cuda::Api* srengine_cuda_api(int version) {
  return version == sr::cuda::api_version ? &sr::cuda::api : nullptr;
}
