#include "weights/foreign_layers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "weights/weights_error.h"

namespace sr {
namespace {

bool is_kernel(const std::vector<int64_t>& shape, bool channels_last) {
  if (shape.size() != 5) return false;
  const size_t z = channels_last ? 0 : 2;
  const bool known = shape[z] == 1 || shape[z] == 3 || shape[z] == 5 || shape[z] == 9;
  return known && shape[z + 1] == shape[z] && shape[z + 2] == shape[z];
}

std::string with_shape(const NamedTensor& tensor) {
  return fmt::format("{} ({})", tensor.name, fmt::join(tensor.shape, ", "));
}

// [kz][ky][kx][ci][co] -> [co][ci][kz][ky][kx]
std::vector<float> channels_first(const std::vector<float>& from, int64_t taps, int64_t ci, int64_t co) {
  std::vector<float> to(from.size());
  for (int64_t tap = 0; tap < taps; ++tap)
    for (int64_t i = 0; i < ci; ++i)
      for (int64_t o = 0; o < co; ++o) to[(o * ci + i) * taps + tap] = from[(tap * ci + i) * co + o];
  return to;
}

class Gatherer {
 public:
  Gatherer(const TensorGroup& group, const std::string& where) : where_(where) {
    for (const NamedTensor& tensor : group.tensors) {
      if (tensor.name.ends_with("num_batches_tracked") || tensor.shape.empty()) {
        layers_.ignored.push_back(tensor.name);
      } else if (!tensor.floating || tensor.data.empty() || (tensor.shape.size() != 1 && tensor.shape.size() != 5)) {
        left_over_.push_back(with_shape(tensor));
      } else {
        tensors_.push_back(&tensor);
      }
    }
  }

  ForeignLayers run(bool keeps_order) {
    refuse_left_overs();
    choose_layout();
    const bool named = std::any_of(tensors_.begin(), tensors_.end(), [](const NamedTensor* t) {
      return t->shape.size() == 1 && split_name(t->name).has_value();
    });
    if (named) {
      gather_by_name();
    } else {
      gather_by_position(keeps_order);
    }
    refuse_left_overs();
    return std::move(layers_);
  }

 private:
  void refuse_left_overs() const {
    if (left_over_.empty()) return;
    throw WeightsError(
        fmt::format("{}: these tensors belong to no convolution, norm or PReLU of a network that is known: {}", where_,
                    shown_list(left_over_)));
  }

  // The first kernel, of one input channel, looks right in one layout only.
  void choose_layout() {
    const auto all = [&](bool channels_last) {
      return std::all_of(tensors_.begin(), tensors_.end(), [&](const NamedTensor* t) {
        return t->shape.size() == 1 || is_kernel(t->shape, channels_last);
      });
    };
    layers_.channels_last = !all(false) && all(true);
    for (const NamedTensor* t : tensors_)
      if (t->shape.size() == 5 && !is_kernel(t->shape, layers_.channels_last)) left_over_.push_back(with_shape(*t));
    refuse_left_overs();
  }

  void add_conv(const std::string& name, size_t position, const NamedTensor& t, const NamedTensor* bias) {
    ForeignConv conv{};
    conv.name = name;
    conv.position = position;
    conv.co = t.shape[layers_.channels_last ? 4 : 0];
    conv.ci = t.shape[layers_.channels_last ? 3 : 1];
    conv.kernel = static_cast<int>(t.shape[2]);
    const int64_t taps = int64_t{conv.kernel} * conv.kernel * conv.kernel;
    conv.weight = layers_.channels_last ? channels_first(t.data, taps, conv.ci, conv.co) : t.data;
    conv.original = &t;
    conv.bias = bias;
    if (bias && bias->shape != std::vector<int64_t>{conv.co}) left_over_.push_back(with_shape(*bias));
    layers_.convs.push_back(std::move(conv));
  }

  void add_norm(const std::string& name, size_t position, const std::vector<const NamedTensor*>& parts) {
    ForeignNorm norm{};
    norm.name = name;
    norm.position = position;
    norm.weight = parts[0];
    norm.bias = parts[1];
    norm.mean = parts[2];
    norm.variance = parts[3];
    const bool whole = parts[0] && parts[1] && !parts[2] == !parts[3];
    if (whole) norm.c = parts[0]->shape[0];
    for (const NamedTensor* part : parts)
      if (part && (!whole || part->shape != parts[0]->shape)) left_over_.push_back(with_shape(*part));
    if (whole) layers_.norms.push_back(norm);
  }

  void gather_by_name() {
    struct Parts {
      size_t position;
      std::vector<const NamedTensor*> by_part = std::vector<const NamedTensor*>(4, nullptr);
    };
    std::map<std::string, Parts> by_layer;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const NamedTensor& t = *tensors_[i];
      auto split = split_name(t.name);
      if (!split && t.shape.size() == 5) split = LayerPart{t.name, Part::weight};
      const bool fits = split && (t.shape.size() == 1 || split->part == Part::weight);
      if (fits) {
        auto& slot =
            by_layer.try_emplace(split->layer, Parts{i}).first->second.by_part[static_cast<size_t>(split->part)];
        if (!slot) {
          slot = &t;
          continue;
        }
      }
      left_over_.push_back(with_shape(t));
    }
    for (const auto& [name, parts] : by_layer) {
      const auto& p = parts.by_part;
      if (p[0] && p[0]->shape.size() == 5) {
        add_conv(name, parts.position, *p[0], p[1]);
        for (const NamedTensor* extra : {p[2], p[3]})
          if (extra) left_over_.push_back(with_shape(*extra));
      } else if (p[0] && !p[1] && !p[2] && !p[3]) {
        layers_.prelus.push_back({{name, parts.position}, p[0]});
      } else {
        add_norm(name, parts.position, p);
      }
    }
  }

  // arr_0, arr_1, ...: the order of the forward pass is all there is. Between two kernels lie the bias of the first, if
  // their number is odd, and gamma, beta and, if there are four, mean and variance of one norm.
  void gather_by_position(bool keeps_order) {
    std::vector<NamedLayer> names;
    for (size_t i = 0; i < tensors_.size(); ++i) names.push_back({tensors_[i]->name, i});
    std::vector<const NamedLayer*> unordered;
    for (const NamedLayer& name : names) unordered.push_back(&name);
    const auto ordered = in_order(unordered, keeps_order);
    if (!ordered)
      throw WeightsError(fmt::format("{}: neither the names nor the order of its tensors say what they are", where_));
    const auto at = [&](size_t i) { return tensors_[(*ordered)[i]->position]; };
    for (size_t i = 0; i < ordered->size();) {
      if (at(i)->shape.size() != 5) {
        left_over_.push_back(with_shape(*at(i++)));
        continue;
      }
      size_t end = i + 1;
      while (end < ordered->size() && at(end)->shape.size() == 1) ++end;
      const size_t n = end - i - 1;
      const bool has_bias = n % 2 == 1;
      add_conv(at(i)->name, i, *at(i), has_bias ? at(i + 1) : nullptr);
      std::vector<const NamedTensor*> parts;
      for (size_t j = i + 1 + has_bias; j < end; ++j) parts.push_back(at(j));
      if (parts.size() == 2 || parts.size() == 4) {
        const size_t position = i + 1 + has_bias;
        parts.resize(4, nullptr);
        add_norm(parts[0]->name, position, parts);
      } else {
        for (const NamedTensor* part : parts) left_over_.push_back(with_shape(*part));
      }
      i = end;
    }
  }

  std::vector<const NamedTensor*> tensors_;
  std::vector<std::string> left_over_;
  const std::string& where_;
  ForeignLayers layers_;
};

}  // namespace

ForeignLayers gather_layers(const TensorGroup& group, bool keeps_order, const std::string& where) {
  return Gatherer(group, where).run(keeps_order);
}

}  // namespace sr
