#include "weights/layer_names.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace sr {
namespace {

// Longer words before the words they end in.
constexpr std::pair<std::string_view, Part> kPartWords[] = {{"running_mean", Part::mean},
                                                            {"moving_mean", Part::mean},
                                                            {"mean", Part::mean},
                                                            {"moving_variance", Part::variance},
                                                            {"variance", Part::variance},
                                                            {"running_var", Part::variance},
                                                            {"moving_var", Part::variance},
                                                            {"var", Part::variance},
                                                            {"weight", Part::weight},
                                                            {"kernel", Part::weight},
                                                            {"gamma", Part::weight},
                                                            {"scale", Part::weight},
                                                            {"w", Part::weight},
                                                            {"bias", Part::bias},
                                                            {"beta", Part::bias},
                                                            {"offset", Part::bias},
                                                            {"b", Part::bias}};

enum class Class { digits, letters, other };

Class class_of(char c) {
  const auto u = static_cast<unsigned char>(c);
  return std::isdigit(u) ? Class::digits : std::isalpha(u) ? Class::letters : Class::other;
}

// "block10.conv_b" -> "block", "10", ".", "conv", "_", "b"
std::vector<std::string_view> tokens_of(std::string_view name) {
  std::vector<std::string_view> tokens;
  for (size_t begin = 0; begin < name.size();) {
    size_t end = begin + 1;
    while (end < name.size() && class_of(name[end]) == class_of(name[begin])) ++end;
    tokens.push_back(name.substr(begin, end - begin));
    begin = end;
  }
  return tokens;
}

bool is_number(std::string_view token) {
  return class_of(token[0]) == Class::digits;
}

// By value for numbers of any length: without leading zeros the longer one is larger.
bool token_less(std::string_view a, std::string_view b) {
  if (!is_number(a) || !is_number(b)) return a < b;
  while (a.size() > 1 && a[0] == '0') a.remove_prefix(1);
  while (b.size() > 1 && b[0] == '0') b.remove_prefix(1);
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

// Whether the names part at a number, or one of them just goes on: "conv3d", "conv3d_1".
bool differ_by_number(const std::string& a, const std::string& b) {
  const auto ta = tokens_of(a), tb = tokens_of(b);
  const auto [ia, ib] = std::mismatch(ta.begin(), ta.end(), tb.begin(), tb.end());
  return ia == ta.end() || ib == tb.end() || (is_number(*ia) && is_number(*ib));
}

}  // namespace

std::optional<LayerPart> split_name(const std::string& tensor_name) {
  std::string_view name = tensor_name;
  if (name.ends_with(":0")) name.remove_suffix(2);
  for (const auto& [word, part] : kPartWords) {
    if (!name.ends_with(word)) continue;
    const std::string_view layer = name.substr(0, name.size() - word.size());
    if (layer.empty()) return LayerPart{"", part};
    if (std::string_view("./_").find(layer.back()) == std::string_view::npos) continue;
    return LayerPart{std::string(layer.substr(0, layer.size() - 1)), part};
  }
  return std::nullopt;
}

bool natural_less(const std::string& a, const std::string& b) {
  const auto ta = tokens_of(a), tb = tokens_of(b);
  return std::lexicographical_compare(ta.begin(), ta.end(), tb.begin(), tb.end(), token_less);
}

std::pair<int, int> name_affinity(const std::string& a, const std::string& b) {
  const auto ta = tokens_of(a), tb = tokens_of(b);
  const auto prefix = std::mismatch(ta.begin(), ta.end(), tb.begin(), tb.end()).first - ta.begin();
  if (ta.empty() || is_number(ta.back())) return {static_cast<int>(prefix), 0};
  const auto suffix = std::mismatch(ta.rbegin(), ta.rend(), tb.rbegin(), tb.rend()).first - ta.rbegin();
  return {static_cast<int>(prefix), static_cast<int>(suffix)};
}

std::optional<std::vector<const NamedLayer*>> in_order(std::vector<const NamedLayer*> layers, bool keeps_order) {
  std::sort(layers.begin(), layers.end(),
            [](const NamedLayer* a, const NamedLayer* b) { return natural_less(a->name, b->name); });
  bool by_number = true;
  for (size_t i = 1; i < layers.size(); ++i) by_number &= differ_by_number(layers[i - 1]->name, layers[i]->name);
  if (by_number) return layers;
  if (!keeps_order) return std::nullopt;
  std::sort(layers.begin(), layers.end(),
            [](const NamedLayer* a, const NamedLayer* b) { return a->position < b->position; });
  return layers;
}

}  // namespace sr
