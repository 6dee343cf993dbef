// An architecture: all that weights files, the command line, the importer and the exporters have to know of a kind of
// network. Each has a file in weights/architectures/ that fills this in, and nobody else asks which one it is;
// docs/add-a-network.md walks through one.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weights/architectures/list.h"
#include "weights/schema.h"

namespace sr {

struct ForeignLayers;
struct ForeignModel;
struct GraphValue;
class JsonFields;
class NetworkGraph;
class OwnTensors;
class TensorTable;

// A whole number from 1 to `most` that sizes a network.
struct SizeSetting {
  int ModelDescription::*member;
  int usual, most;
  const char* key;      // in a weights file: "mapping_layers"
  const char* option;   // behind a model's name, and in it: "m" as in "fsrcnn,m=2"; "" where the name says it ("b4u4")
  const char* meaning;  // for refusals: "number of mapping layers m"
};

class Architecture {
 public:
  virtual ~Architecture() = default;

  // "fsrcnn": in weights files and on the command line.
  virtual std::string name() const = 0;
  virtual std::vector<SizeSetting> sizes() const = 0;
  // "elu" | "prelu": what weights files say; nothing else reads it.
  virtual std::string activation() const = 0;
  virtual bool has_norms() const = 0;
  // "FSRCNN: 56 features, shrunk to 12, 4 mapping layers"
  virtual std::string text(const ModelDescription& model) const = 0;

  // Every tensor that the model may have, in the order of the forward pass.
  virtual void add_tensors(const ModelDescription& model, TensorTable& table) const = 0;
  // A number of convolutions that the model has more than, known without the table: a small file must not get a table
  // of thousands of layers built.
  virtual int64_t least_convs(const ModelDescription& model) const = 0;

  // The network from the image to what it adds to it or, unless model.residual, to its output: for ONNX.
  virtual GraphValue graph(NetworkGraph& graph, const ModelDescription& model, const GraphValue& image) const = 0;

  // --- Checkpoints with the names of the tensor table.

  // The first layer's tensor, and another or its beginning that tells the architecture from those behind it in the
  // list.
  struct Marks {
    std::string_view first, other;
  };
  virtual Marks marks() const = 0;
  // The model with such tensors. Throws WeightsError, starting with `where`, where there is none; what else is wrong
  // with them is found later.
  virtual ModelDescription model_by_names(const OwnTensors& tensors, const std::string& where) const = 0;

  // --- Checkpoints with anybody's names.

  virtual bool recognises(const ForeignLayers& layers) const = 0;
  // The model whose layers these could be. Throws WeightsError, starting with `where`, where there is none.
  virtual ForeignModel model_by_shapes(const ForeignLayers& layers, const std::string& where) const = 0;

  // --- Settings other than sizes, and names other than name(). Few have any.

  // Of a model's name what lies before the first comma; nothing where it is not one of this architecture's.
  virtual std::optional<ModelDescription> parse_name(std::string_view text) const;
  // parse_name's text of a model.
  virtual std::string short_name(const ModelDescription&) const { return name(); }
  // Names for who gives one that nobody knows: "b4u4, b1u16-r".
  virtual std::string examples() const { return name(); }
  // "bottleneck=auto|never|always"
  virtual std::vector<std::string> further_options() const { return {}; }
  // Whether there is such an option. Throws WeightsError where the value does not suit it.
  virtual bool set_further(ModelDescription&, std::string_view /*option*/, const std::string& /*value*/) const {
    return false;
  }
  virtual void write_further(const ModelDescription&, nlohmann::json& /*object*/) const {}
  virtual void read_further(JsonFields&, ModelDescription&) const {}
  // Lines of `srengine info`: {"bottleneck", "auto"}.
  virtual std::vector<std::pair<std::string, std::string>> further_lines(const ModelDescription&) const { return {}; }
  // What the name leaves out, for sentences about models that differ: "k = 12, bottleneck auto".
  virtual std::string details(const ModelDescription&) const { return ""; }

  // The model with the usual sizes, which are the paper's.
  ModelDescription usual() const;

 protected:
  // The usual model with these sizes instead, in the order of sizes(). Throws WeightsError, starting with `where`,
  // where one is out of its range.
  ModelDescription sized(const std::vector<int64_t>& values, const std::string& where) const;
};

namespace architectures {
#define SRENGINE_DECLARE(name) const Architecture& name();
SRENGINE_NETWORKS(SRENGINE_DECLARE)
#undef SRENGINE_DECLARE

// In the order of the list.
const std::vector<const Architecture*>& all();
// In the order in which checkpoints and names are tried: the first of the list last.
const std::vector<const Architecture*>& by_recognition();
// Throws WeightsError with the list of what there is.
const Architecture& by_name(const std::string& name);
}  // namespace architectures

}  // namespace sr
