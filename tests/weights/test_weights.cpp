// Weights files: what is written is read back, and whatever is wrong with a file is said in one sentence.
#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <random>
#include <set>

#include "tests/support/catch.h"
#include "tests/weights/weights_files.h"
#include "weights/bounded_json.h"
#include "weights/element_type.h"
#include "weights/file_io.h"
#include "weights/model_json.h"
#include "weights/safetensors.h"
#include "weights/weights_file.h"

namespace fs = std::filesystem;
using namespace sr;
using nlohmann::json;

namespace {

// A small file taken apart: header as JSON, tensors as bytes; put together again as it is told to be.
struct Parts {
  json header;
  std::vector<uint8_t> data;

  std::vector<uint8_t> file() const {
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return file(text);
  }
  std::vector<uint8_t> file(const std::string& text) const {
    const uint64_t length = text.size();
    std::vector<uint8_t> out(8 + text.size());
    std::memcpy(out.data(), &length, 8);
    std::memcpy(out.data() + 8, text.data(), text.size());
    out.insert(out.end(), data.begin(), data.end());
    return out;
  }
  json& metadata() { return header["__metadata__"]; }
  void set_model(const std::string& key, const json& value) {
    json model = json::parse(metadata()["srengine.model"].get<std::string>());
    model[key] = value;
    metadata()["srengine.model"] = model.dump();
  }
  void fix_checksum() { metadata()["srengine.sha256"] = sha256_hex(data); }
};

Parts small_file(const Folder& folder) {
  ModelDescription model = parse_model_name("b2u2,k=2");
  Weights weights = random_weights(model, 7);
  save_weights(folder / "small.bin", weights);
  const std::vector<uint8_t> bytes = read_file(folder / "small.bin");
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  return {json::parse(bytes.begin() + 8, bytes.begin() + 8 + static_cast<ptrdiff_t>(length)),
          {bytes.begin() + 8 + static_cast<ptrdiff_t>(length), bytes.end()}};
}

}  // namespace

TEST_CASE("the parameter counts are those of the definition") {
  // docs/spec.md, section 2.
  CHECK(multiply_adds_per_voxel(parse_model_name("b4u4")) == 225'000);
  CHECK(multiply_adds_per_voxel(parse_model_name("b6u4")) == 347'544);
  CHECK(multiply_adds_per_voxel(parse_model_name("b8u4")) == 477'000);
  CHECK(multiply_adds_per_voxel(parse_model_name("b1u16-r")) == 343'512);
  CHECK(multiply_adds_per_voxel(parse_model_name("b1u12-r")) == 240'984);
  CHECK(multiply_adds_per_voxel(parse_model_name("b4u4-r")) == 254'952);
  CHECK(multiply_adds_per_voxel(parse_model_name("b4u4,bottleneck=never")) == 229'032);
  CHECK(multiply_adds_per_voxel(parse_model_name("b6u4,bottleneck=never")) == 353'592);
  CHECK(multiply_adds_per_voxel(parse_model_name("b8u4,bottleneck=never")) == 485'064);
  CHECK(multiply_adds_per_voxel(parse_model_name("b4u4,k=16,bottleneck=never")) == 406'752);
}

TEST_CASE("the table lists every tensor once, in the order of the forward pass") {
  const auto table = tensor_table(parse_model_name("b2u4-r,k=3"));
  std::vector<std::string> required;
  std::set<std::string> names;
  for (const TensorSpec& spec : table) {
    CHECK(names.insert(spec.name).second);
    if (!spec.optional) required.push_back(spec.name);
  }
  REQUIRE(required.size() == 1 + 2 * (3 * 3 + 6) + 1 + 4);
  CHECK(required[0] == "stem.conv.weight");
  CHECK(required[10] == "blocks.0.units.3.bottleneck.norm.weight");
  CHECK(required[12] == "blocks.0.units.3.bottleneck.conv.weight");
  CHECK(required[16] == "compressors.0.conv.weight");
  CHECK(required.back() == "reconstruction.conv.weight");
  for (const TensorSpec& spec : table) {
    if (spec.name == "blocks.1.units.3.bottleneck.conv.weight")
      CHECK(spec.shape == std::vector<int64_t>{12, 15, 1, 1, 1});
    if (spec.name == "blocks.1.units.3.conv.weight") CHECK(spec.shape == std::vector<int64_t>{3, 12, 3, 3, 3});
    if (spec.name == "compressors.0.conv.weight") CHECK(spec.shape == std::vector<int64_t>{6, 18, 1, 1, 1});
    if (spec.name == "reconstruction.compress.conv.weight") CHECK(spec.shape == std::vector<int64_t>{24, 36, 1, 1, 1});
  }
}

TEST_CASE("model names and normalization rules are parsed, and refused with what there is") {
  const ModelDescription m = parse_model_name("b1u16-r,k=8,bottleneck=always,trunk=new-features,residual,input=sinc");
  CHECK((m.blocks == 1 && m.units == 16 && m.growth == 8 && m.reconstruction && m.residual));
  CHECK((m.bottleneck == Bottleneck::always && m.trunk == Trunk::new_features && m.input == Interpolation::sinc));
  CHECK(m.name() == "b1u16-r k8");
  CHECK(m.trunk_channels(1) == (2 + 16) * 8);
  for (const char* bad : {"", "b", "b4", "b4u", "bu4", "4u4", "b0u4", "b65u1", "b4u4x", "b4u-4", "b4u4-", "b4u4,k=0",
                          "b4u4,k=257", "b4u4,k=", "b4u4,q=1", "b4u4,trunk=x", "b99999999999u1"})
    CHECK(refusal([&] { parse_model_name(bad); }) != accepted);

  for (const char* rule : {"none", "scale:4095", "zscore", "foreground", "percentile:99.5"})
    CHECK(to_string(parse_normalization(rule)) == rule);
  for (const char* bad : {"", "scale", "scale:", "scale:0", "scale:-1", "scale:nan", "scale:inf", "scale:1x",
                          "scale:1e300", "scale:1e-320", "zscore:1", "percentile:0", "percentile:101", "minmax"})
    CHECK(refusal([&] { parse_normalization(bad); }) != accepted);
  mentions(refusal([] { parse_normalization("minmax"); }), "percentile:99.5");
  mentions(refusal([] { parse_normalization("scale:1e300"); }), "divides by 1e+300");
}

TEST_CASE("a written file is read back number for number") {
  const Folder folder;
  for (const char* name :
       {"b1u1,k=1", "b2u4,k=3", "b2u3-r,k=2,bottleneck=always,trunk=new-features,residual,input=sinc"}) {
    Weights written = random_weights(parse_model_name(name), 42);
    written.model.norm_eps = 1e-3;
    written.model.batch_norm = BatchNorm::running;
    written.normalization = parse_normalization("percentile:99.5");
    written.tensors["stem.conv.bias"] = {{2 * written.model.growth},
                                         std::vector<float>(2 * written.model.growth, 0.1f)};
    save_weights(folder / "w.bin", written);
    const Weights read = load_weights(folder / "w.bin");
    CHECK(read.model == written.model);
    CHECK(read.normalization == written.normalization);
    CHECK(read.provenance == written.provenance);
    CHECK(read.sha256 == written.sha256);
    CHECK_FALSE(read.half_precision);
    REQUIRE(read.tensors.size() == written.tensors.size());
    for (const auto& [key, tensor] : written.tensors) {
      CHECK(read.at(key).shape == tensor.shape);
      CHECK(read.at(key).data == tensor.data);
    }
    CHECK(fs::file_size(folder / "w.bin") % 4 == 0);
  }
  // Nothing is left beside the file.
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("half precision halves the convolutions and keeps the norms") {
  const Folder folder;
  Weights full = random_weights(parse_model_name("b2u2,k=3"), 1);
  save_weights(folder / "f32.bin", full);
  save_weights(folder / "f16.bin", full, true);
  const Weights half = load_weights(folder / "f16.bin");
  CHECK(half.half_precision);
  CHECK(fs::file_size(folder / "f16.bin") < fs::file_size(folder / "f32.bin") * 3 / 4);
  for (const auto& [name, tensor] : full.tensors)
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      if (tensor.shape.size() == 1) {
        REQUIRE(half.at(name).data[i] == tensor.data[i]);
      } else {
        // 11 significant bits; below 2^-14 the spacing is 2^-24.
        REQUIRE(std::abs(half.at(name).data[i] - tensor.data[i]) <= std::abs(tensor.data[i]) * 0x1p-11f + 0x1p-25f);
      }
    }
  full.tensors["combine.conv.weight"].data[0] = 70000;
  mentions(refusal([&] { save_weights(folder / "f16.bin", full, true); }),
           "half precision cannot; write it without --half");
  CHECK(load_weights(folder / "f16.bin").sha256 == half.sha256);  // the file before it stays
}

TEST_CASE("every half-precision number widens exactly and narrows back to itself") {
  CHECK(half_to_float(0x3c00) == 1.0f);
  CHECK(half_to_float(0xc000) == -2.0f);
  CHECK(half_to_float(0x7bff) == 65504.0f);
  CHECK(half_to_float(0x0001) == 0x1p-24f);
  CHECK(half_to_float(0x0400) == 0x1p-14f);
  for (int h = 0; h < 0x10000; ++h) {
    const float wide = half_to_float(static_cast<uint16_t>(h));
    if (std::isnan(wide)) continue;
    REQUIRE(float_to_half(wide) == h);
  }
  CHECK(float_to_half(1.0f + 0x1p-11f) == 0x3c00);  // a tie goes to the even neighbour
  CHECK(float_to_half(1.0f + 3 * 0x1p-11f) == 0x3c02);
  CHECK(float_to_half(65519.0f) == 0x7bff);
  CHECK(float_to_half(65520.0f) == 0x7c00);
  CHECK(float_to_half(0x1p-25f) == 0);
}

TEST_CASE("a seed means the same network everywhere") {
  const ModelDescription model = parse_model_name("b2u2,k=4");
  const Weights a = random_weights(model, 3), b = random_weights(model, 3), c = random_weights(model, 4);
  for (const auto& [name, tensor] : a.tensors) CHECK(tensor.data == b.at(name).data);
  CHECK(a.at("stem.conv.weight").data != c.at("stem.conv.weight").data);
  // Pinned, so that a change of the generator is noticed: benchmarks name their seed.
  CHECK(a.at("stem.conv.weight").data[0] == 0x1.722aa60000000p-5f);
  check_against_schema(a, "random");
}

TEST_CASE("saving refuses what a reader would refuse") {
  const Folder folder;
  const Weights good = random_weights(parse_model_name("b2u2,k=2"), 5);
  const auto saved = [&](auto damage) {
    Weights w = good;
    damage(w);
    return refusal([&] { save_weights(folder / "x.bin", w); });
  };
  mentions(saved([](Weights& w) { w.tensors.erase("stem.conv.weight"); }), "missing 'stem.conv.weight'");
  mentions(saved([](Weights& w) { w.tensors["extra"] = {{1}, {0}}; }), "unknown 'extra'");
  mentions(saved([](Weights& w) { w.tensors["combine.conv.weight"].shape = {1, 4, 4, 1, 1}; }), "wrong shape");
  mentions(saved([](Weights& w) { w.tensors["combine.conv.weight"].data.pop_back(); }), "numbers for its shape");
  mentions(saved([](Weights& w) { w.tensors["stem.conv.weight"].data[2] = NAN; }), "element 2");
  mentions(saved([](Weights& w) { w.tensors.erase("blocks.0.units.0.norm.running_var"); }), "running_var");
  mentions(saved([](Weights& w) { w.tensors["blocks.0.units.0.norm.running_var"].data[1] = -1; }), "variance");
  CHECK_FALSE(fs::exists(folder / "x.bin"));
  Weights w = good;
  mentions(refusal([&] { save_weights(folder / "no" / "such" / "x.bin", w); }), "cannot be written");
}

TEST_CASE("every damaged field of a weights file is refused with a sentence that names it") {
  const Folder folder;
  const Parts good = small_file(folder);
  const auto loaded = [&](const std::vector<uint8_t>& bytes) {
    write_bytes(folder / "damaged.bin", bytes);
    const std::string sentence = refusal([&] { load_weights(folder / "damaged.bin"); });
    CHECK(sentence.size() < 1000);
    return sentence;
  };
  const auto changed = [&](auto change) {
    Parts parts = good;
    change(parts);
    return loaded(parts.file());
  };
  REQUIRE(loaded(good.file()) == accepted);

  SECTION("header length") {
    std::vector<uint8_t> bytes = good.file();
    for (const uint64_t length :
         {UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 62, uint64_t{bytes.size()}, bytes.size() - 7}) {
      std::memcpy(bytes.data(), &length, 8);
      mentions(loaded(bytes), "header claims");
    }
    for (const uint64_t length : {0, 1, 7, 100}) {
      std::memcpy(bytes.data(), &length, 8);
      mentions(loaded(bytes), "JSON");
    }
    for (size_t n = 0; n < 8; ++n)
      mentions(loaded({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n)}), "too few");
  }
  SECTION("header text") {
    mentions(loaded(good.file("[]")), "not a JSON object");
    mentions(loaded(good.file("{\"a\":")), "JSON cannot be read");
    mentions(loaded(good.file("{\"a\xff\":1}")), "JSON cannot be read");
    mentions(loaded(good.file(std::string(100'000, '['))), "nested deeper");
    mentions(loaded(good.file("{\"a\":" + std::string(100'000, '{'))), "JSON");
    std::string deep = "{\"__metadata__\":";
    for (int i = 0; i < 1000; ++i) deep += "{\"a\":";
    mentions(loaded(good.file(deep)), "nested deeper");
    std::string twice = good.header.dump();
    twice.insert(1, "\"stem.conv.weight\":" + good.header["stem.conv.weight"].dump() + ",");
    mentions(loaded(good.file(twice)), "twice");
    mentions(changed([](Parts& p) { p.header["__metadata__"] = 3; }), "__metadata__");
    mentions(changed([](Parts& p) { p.metadata()["srengine.format"] = 1; }), "not text");
  }
  SECTION("metadata") {
    mentions(changed([](Parts& p) { p.header.erase("__metadata__"); }), "srengine import");
    mentions(changed([](Parts& p) { p.metadata()["srengine.format"] = "2"; }), "this program reads format 1");
    for (const char* key : {"srengine.model", "srengine.normalization", "srengine.provenance", "srengine.sha256"}) {
      mentions(changed([&](Parts& p) { p.metadata().erase(key); }), key);
      if (std::string(key) != "srengine.sha256")
        for (const char* text : {"", "{", "[]", "null", "{} {}"})
          mentions(changed([&](Parts& p) { p.metadata()[key] = text; }), key);
    }
    for (const char* sum : {"", "00", "not a checksum"})
      mentions(changed([&](Parts& p) { p.metadata()["srengine.sha256"] = sum; }), "checksum");
  }
  SECTION("model") {
    const json model = json::parse(good.header["__metadata__"]["srengine.model"].get<std::string>());
    for (const auto& [key, value] : model.items()) {
      const std::string k = key;
      mentions(changed([&](Parts& p) {
                 json m = model;
                 m.erase(k);
                 p.metadata()["srengine.model"] = m.dump();
               }),
               "'" + k + "' is missing");
      for (const json& wrong : {json(nullptr), json::array(), json("x"), json(-1), json(1e300), json(UINT64_MAX),
                                json(INT64_MIN), json(1 << 30), json(2.5), json(0)})
        mentions(changed([&](Parts& p) { p.set_model(k, wrong); }), k);
    }
    mentions(changed([](Parts& p) { p.set_model("surprise", 1); }), "'surprise' is not understood");
    // The largest network there may be, claimed by a file of a few kB.
    mentions(changed([](Parts& p) {
               p.set_model("blocks", 64);
               p.set_model("units", 64);
               p.set_model("growth", 256);
             }),
             "its model b64u64");
    mentions(changed([](Parts& p) { p.set_model("growth", 3); }), "wrong shape");
    mentions(changed([](Parts& p) { p.set_model("reconstruction", true); }), "reconstruction.compress.conv.weight");
    mentions(changed([](Parts& p) { p.set_model("units", 3); }), "missing");
    mentions(changed([](Parts& p) { p.set_model("units", 1); }), "unknown");
  }
  SECTION("normalization") {
    for (const char* text :
         {"{}", R"({"kind":1})", R"({"kind":"x"})", R"({"kind":"scale"})", R"({"kind":"scale","by":0})",
          R"({"kind":"scale","by":1e300})", R"({"kind":"scale","by":1e-320})", R"({"kind":"scale","by":"4095"})",
          R"({"kind":"percentile","by":101})", R"({"kind":"none","by":1})"})
      mentions(changed([&](Parts& p) { p.metadata()["srengine.normalization"] = text; }), "srengine.normalization");
  }
  SECTION("tensor entries") {
    const std::string t = "stem.conv.weight";
    const auto entry = [&](const char* key, const json& value) {
      return changed([&](Parts& p) { p.header[t][key] = value; });
    };
    for (const json& dtype : {json("F8"), json("F64"), json("I32"), json(3), json(nullptr)})
      mentions(entry("dtype", dtype), t);
    for (const json& shape :
         {json(4), json({4, 1, 3, 3}), json({4, 1, 3, 3, -3}), json({4, 1, 3, 3, 3.0}), json({INT64_MAX, INT64_MAX, 4}),
          json({1LL << 32, 1LL << 32}), json::array({0}), json::array({UINT64_MAX}), json(std::vector<int>(100, 1))})
      mentions(entry("shape", shape), t);
    for (const json& offsets : {json(0), json::array({0}), json({0, 1, 2}), json({8, 0}), json({0, UINT64_MAX}),
                                json({-4, 428}), json({0, 1 << 30}), json({"0", "432"})})
      mentions(entry("data_offsets", offsets), t);
    for (const char* key : {"dtype", "shape", "data_offsets"})
      mentions(changed([&](Parts& p) { p.header[t].erase(key); }), t);
    mentions(entry("more", 1), t);
    mentions(changed([&](Parts& p) { p.header[t] = 5; }), t);
    mentions(changed([&](Parts& p) {
               p.header["blocks.0.units.0.norm.weight"]["data_offsets"] = {0, 16};
             }),
             "overlaps");
    mentions(changed([&](Parts& p) { p.header.erase(t); }), "gap");
    mentions(changed([&](Parts& p) { p.data.resize(p.data.size() + 4); }), "belong to none");
    mentions(changed([&](Parts& p) { p.data.pop_back(); }), "do not lie inside");
    mentions(changed([&](Parts& p) {
               p.header["other"] = p.header[t];
               p.header.erase(t);
             }),
             "missing 'stem.conv.weight'; unknown 'other'");
    mentions(changed([&](Parts& p) { p.header["\x1b[2J" + std::string(100'000, 'x')] = 5; }), "?[2Jxxx");
  }
  SECTION("numbers") {
    mentions(changed([](Parts& p) { p.data[100] ^= 1; }), "checksum");
    const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000};
    for (const uint32_t bits : bad)
      mentions(changed([&](Parts& p) {
                 std::memcpy(p.data.data() + 8, &bits, 4);
                 p.fix_checksum();
               }),
               "'stem.conv.weight' holds");
  }
  SECTION("alignment") {
    std::string text = good.header.dump();
    while (text.size() % 8 != 3) text += ' ';
    mentions(loaded(good.file(text)), "not aligned");
  }
}

TEST_CASE("JSON takes time by its length, however wide and deep it is") {
  const auto start = std::chrono::steady_clock::now();
  std::string header = "{";
  for (int i = 0; i < 50'000; ++i)
    header += (i ? ",\"tensor" : "\"tensor") + std::to_string(i) +
              R"(":{"dtype":"F32","shape":[1,1,3,3,3],"data_offsets":[0,108]})";
  CHECK(parse_json_object(header + "}", "header").size() == 50'000);

  // Lists within wide lists within wide lists.
  std::string nested = "[]";
  for (int depth = 2; depth < 16; ++depth) {
    std::string wide = "[" + nested;
    for (int i = 0; i < 10'000; ++i) wide += ",[]";
    nested = wide + "]";
  }
  CHECK(parse_json_object("{\"a\":" + nested + "}", "nested").size() == 1);
  std::string many = "{\"a\":[[]";
  for (int i = 0; i < 5'000'000; ++i) many += ",[]";
  mentions(refusal([&] { parse_json_object(many + "]}", "many"); }), "more than 1000000 values");
  mentions(refusal([&] { parse_json_object("{\"" + std::string(1 << 20, 'x') + "\n", "long"); }), "cannot be read");
  CHECK(refusal([&] { parse_json_object("{\"" + std::string(1 << 20, 'x') + "\n", "long"); }).size() < 1000);
  // A quarter of a second; a pass over all siblings at the end of each value took minutes.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("a file that ends anywhere is refused") {
  const Folder folder;
  const std::vector<uint8_t> bytes = small_file(folder).file();
  for (size_t n = 0; n < bytes.size(); n += n < 4000 ? 13 : 97) {
    write_bytes(folder / "short.bin", Bytes(bytes).first(n));
    CHECK(refusal([&] { load_weights(folder / "short.bin"); }) != accepted);
  }
}

TEST_CASE("random damage is refused or harmless, never fatal") {
  const Folder folder;
  const std::vector<uint8_t> bytes = small_file(folder).file();
  std::mt19937_64 random(1);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> damaged = bytes;
    // Most damage into the header: there it can mislead; among the numbers the checksum catches it.
    const size_t range = round % 4 ? 3000 : bytes.size();
    for (uint64_t n = 1 + random() % 4; n > 0; --n) damaged[random() % range] = static_cast<uint8_t>(random());
    write_bytes(folder / "fuzz.bin", damaged);
    refused += refusal([&] { load_weights(folder / "fuzz.bin"); }) != accepted;
  }
  CHECK(refused > 1900);  // what passes hit a digit of the provenance, or wrote the byte that was there
}

TEST_CASE("a file is written whole, under any name, and only over a file") {
  const Folder folder;
  const std::vector<uint8_t> bytes{1, 2, 3};
  const auto n_files = [&] { return std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()); };
  write_file_whole(folder / "new", bytes);
  CHECK(read_file(folder / "new") == bytes);
  const Bytes parts[] = {bytes, {}, bytes};
  write_file_whole(folder / "new", parts);
  CHECK(read_file(folder / "new") == std::vector<uint8_t>{1, 2, 3, 1, 2, 3});
  // As long as file systems allow: a temporary name must not be longer.
  write_file_whole(folder / std::string(255, 'n'), bytes);
  CHECK(n_files() == 2);

  const auto refused = [&](const fs::path& path) {
    try {
      write_file_whole(path, bytes);
    } catch (const NotWritten& e) {
      return std::string(e.what());
    }
    return accepted;
  };
  mentions(refused(folder / std::string(256, 'n')), "cannot be written");
  mentions(refused(folder / "no" / "such" / "folder"), "cannot be written");
  fs::create_directory(folder / "folder");
  mentions(refused(folder / "folder"), "not a regular file");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  mentions(refused(folder / "pipe"), "not a regular file");
  fs::create_symlink("pipe", folder / "link");
  mentions(refused(folder / "link"), "not a regular file");
  CHECK(fs::is_fifo(folder / "pipe"));
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(n_files() == 5);
}

TEST_CASE("what is not a file is refused") {
  const Folder folder;
  mentions(refusal([&] { load_weights(folder / "absent.bin"); }), "no such file");
  mentions(refusal([&] { load_weights(folder.path); }), "not a regular file");
  mentions(refusal([&] { load_weights("/dev/zero"); }), "not a regular file");
}

TEST_CASE("describe lists every layer and the totals") {
  const Folder folder;
  Weights weights = random_weights(parse_model_name("b4u4"), 1);
  save_weights(folder / "w.bin", weights);
  const std::string text = describe(load_weights(folder / "w.bin"), folder / "w.bin");
  for (const char* part : {"b4u4", "225,000", "blocks.3.units.3.bottleneck.conv", "combine.conv", "1x288x1x1x1",
                           "random numbers", "fits the tensors"})
    mentions(text, part);
}

TEST_CASE("what a file's provenance says cannot drive a terminal") {
  const Folder folder;
  Weights weights = random_weights(parse_model_name("b1u1,k=1"), 1);
  weights.provenance = {{"note\x1b[2J",
                         "red\x1b[31m\x7f caf\xc3\xa9 \xc2\x9b"
                         "1m"},
                        {"list",
                         {"\xc2\x9b"
                          "2m\x7f"}}};
  save_weights(folder / "w.bin", weights);
  const std::string text = describe(load_weights(folder / "w.bin"), folder / "w.bin");
  mentions(text, "note?[2J");
  mentions(text, "red?[31m? caf\xc3\xa9 ??1m");
  mentions(text, "??2m?");
  CHECK(std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ' && c != '\n') || c == 0x7f; }));
  CHECK(text.find("\xc2\x9b") == std::string::npos);
}
