// An option that takes one of a few words.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sr {

template <class T>
using Choices = std::vector<std::pair<std::string, T>>;

// Value is T or std::optional<T>. The first line of --help shows "a|b|c" in place of CLI11's list of numbers.
template <class T, class Value>
CLI::Option* add_choice(CLI::App* app, const std::string& name, Value& value, const Choices<T>& choices,
                        const std::string& help) {
  std::string words;
  for (const auto& [word, unused] : choices) words += (words.empty() ? "" : "|") + word;
  return app
      ->add_option_function<std::string>(
          name,
          [&value, choices, name, words](const std::string& text) {
            for (const auto& [word, meaning] : choices)
              if (word == text) {
                value = meaning;
                return;
              }
            throw CLI::ValidationError(name, "'" + text + "' is none of " + words);
          },
          help)
      ->type_name(words);
}

}  // namespace sr
