// Models as users write them: "b4u4,k=16,residual".
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "weights/architecture.h"
#include "weights/words.h"

namespace sr {
namespace {

std::string option_list(const Architecture& architecture) {
  std::vector<std::string> options;
  for (const SizeSetting& size : architecture.sizes())
    if (*size.option) options.push_back(fmt::format("{}=", size.option));
  for (const std::string& option : architecture.further_options()) options.push_back(option);
  options.push_back("input=linear|sinc");
  return fmt::format("{} and residual", fmt::join(options, ", "));
}

void apply_option(ModelDescription& model, std::string_view option, std::string_view value) {
  const std::string text(value);
  for (const SizeSetting& size : model.architecture->sizes()) {
    if (!*size.option || option != size.option) continue;
    model.*size.member = bounded_int(value, size.meaning, size.most);
    return;
  }
  if (option == "input") {
    model.input = parse_model_input(text);
  } else if (option == "residual" && value.empty()) {
    model.residual = true;
  } else if (!model.architecture->set_further(model, option, text)) {
    throw WeightsError(fmt::format("option '{}' of model {} is unknown; there are {}", option,
                                   model.architecture->name(), option_list(*model.architecture)));
  }
}

}  // namespace

ModelDescription parse_model_name(const std::string& text) {
  std::string_view rest = text;
  const auto take_until_comma = [&rest] {
    const auto part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return part;
  };
  const std::string_view name = take_until_comma();
  std::optional<ModelDescription> model;
  for (const Architecture* architecture : architectures::by_recognition())
    if (!model) model = architecture->parse_name(name);
  if (!model) {
    std::vector<std::string> examples;
    for (const Architecture* architecture : architectures::all()) examples.push_back(architecture->examples());
    throw WeightsError(fmt::format("'{}' is not a model; examples: {}", text, fmt::join(examples, ", ")));
  }
  while (!rest.empty()) {
    const std::string_view option = take_until_comma();
    const size_t equals = option.find('=');
    apply_option(*model, option.substr(0, equals),
                 equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1));
  }
  return *model;
}

}  // namespace sr
