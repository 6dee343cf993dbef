// Settings that are words, and numbers that users write: text to values and back.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <string_view>

#include "weights/weights_error.h"

namespace sr {

template <class E>
struct Word {
  E value;
  const char* text;
};

template <class E, size_t N>
std::string text_of(const Word<E> (&words)[N], E value) {
  for (const auto& word : words)
    if (word.value == value) return word.text;
  return "";
}

// Throws WeightsError with the list of what there is.
template <class E, size_t N>
E value_of(const Word<E> (&words)[N], const std::string& text, const char* what) {
  std::string known;
  for (const auto& word : words) {
    if (text == word.text) return word.value;
    known += (known.empty() ? "" : ", ") + std::string(word.text);
  }
  throw WeightsError(fmt::format("{} '{}' is unknown; there are {}", what, text, known));
}

template <class T>
T number_in(std::string_view text, std::string_view what) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw WeightsError(fmt::format("'{}' is not a number ({})", text, what));
  return value;
}

// A whole number from 1 to `most`.
inline int bounded_int(std::string_view text, std::string_view what, int most) {
  const int value = number_in<int>(text, what);
  if (value < 1 || value > most) throw WeightsError(fmt::format("{} is {}; it can be 1 to {}", what, value, most));
  return value;
}

}  // namespace sr
