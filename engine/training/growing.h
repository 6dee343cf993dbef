// What a network that was grown (weights/grow.h) must learn before its first step: the statistics of its new features.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/training/training_engine.h"

namespace sr::train {

// Replaces the running statistics with these names by those of the first kStatisticsBatches batches; nothing else
// changes. With 40 batches and a momentum of 0.1, what stood there before counts for 1.5 %. Every rank calls it.
inline constexpr int kStatisticsBatches = 40;
void measure_statistics(Weights& weights, const std::vector<std::string>& names, TrainingOptions options,
                        const std::function<Batch(int64_t step)>& batch, Collective& collective);

}  // namespace sr::train
