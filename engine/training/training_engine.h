// One step of training: forward, loss, backward, Adam. Where the numbers live while they are trained.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/backends/backend.h"
#include "engine/training/batch.h"
#include "engine/training/collective.h"
#include "weights/weights_file.h"

namespace sr::train {

// Adam (Kingma, Ba, arXiv 1412.6980, algorithm 1): m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
// w -= rate / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + epsilon).
struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

struct TrainingOptions {
  BackendKind kind = BackendKind::cpu;  // ref: plain loops in double, on the host whatever `device` says
  DeviceKind device = DeviceKind::automatic;
  int gpu = -1;        // -1: none is named; of those that there are, the one whose turn local_rank is
  int local_rank = 0;  // of this process among those of its machine
  int threads = 0;     // 0: as many as the process may use
  ConvAlgorithm conv = ConvAlgorithm::winograd4;
  AdamOptions adam;
  double clip = 0;           // the gradient's largest Euclidean norm; 0: any
  bool frozen_norm = false;  // batch-norm by the running statistics, which stay as they are; gamma and beta are trained
  double norm_momentum = 0.1;  // running = (1 - momentum) running + momentum batch, the variance unbiased
};

// What a run must keep to go on to the same bits: with the weights (running statistics included), all of it.
struct OptimiserState {
  int64_t step = 0;         // steps done
  std::vector<float> m, v;  // one number per trained parameter, in the order of parameters.h
};

struct StepResult {
  double loss = 0;           // mean |SR - HR| over the batch of all ranks, before the step
  double input_loss = 0;     // mean |LR - HR|: what doing nothing would cost
  double gradient_norm = 0;  // Euclidean, before clipping
  bool finite = true;        // false: loss or gradient was not, and nothing was changed
};

// A second loss on what the network makes of a batch.
class OutputLoss {
 public:
  virtual ~OutputLoss() = default;
  // gradient += that of this loss with respect to the images. Both are [n][z][y][x] and lie where the engine's numbers
  // do, on the host or on its GPU.
  virtual void add_gradient(int n, const float* image, float* gradient) = 0;
};

class CriticEngine;
struct CriticOptions;
struct CriticState;

class TrainingEngine {
 public:
  virtual ~TrainingEngine() = default;
  // One step of Adam on the mean absolute error, and on `extra_loss` where it is not null. Batch-norm sees the voxels
  // of the whole batch, of all ranks. Every rank brings a batch of the same shape. Throws Error{resource_error} where
  // the memory does not hold it.
  virtual StepResult step(const Batch& batch, double learning_rate, OutputLoss* extra_loss = nullptr) = 0;
  // What the network makes of a batch, with batch-norm as in a step; nothing is trained. [n][z][y][x] where the
  // engine's numbers lie, until the next call.
  virtual const float* forward(const Batch& batch) = 0;
  // A critic beside this network, on the same device (engine/training/critic_engine.h).
  virtual std::unique_ptr<CriticEngine> make_critic(const CriticState& state, const CriticOptions& options) = 0;
  // The gradient alone, in the order of parameters.h; for tests.
  virtual std::vector<float> gradient(const Batch& batch, StepResult& result, OutputLoss* extra_loss = nullptr) = 0;
  // The weights as they are now. save(load(x)) is x to the last bit.
  virtual void save(Weights& weights, OptimiserState& state) = 0;
  // The parameters alone, in the order of parameters.h: what an average over steps needs of each.
  virtual std::vector<float> parameters() = 0;
  virtual void load(const Weights& weights, const OptimiserState& state) = 0;
  virtual std::string describe() const = 0;  // "CPU (AVX2), 2 threads"
};

// weights: the network to begin with, with running statistics (0 and 1 where it had none). `collective` outlives the
// engine. Throws Error{resource_error} where a GPU is asked for that cannot be used.
std::unique_ptr<TrainingEngine> make_training_engine(const Weights& weights, const TrainingOptions& options,
                                                     Collective& collective);

}  // namespace sr::train
