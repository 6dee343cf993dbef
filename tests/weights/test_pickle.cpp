// Pickles and the containers around them: only what a checkpoint needs is understood, and nothing is ever run.
#include <cstdlib>
#include <cstring>

#include "tests/support/catch.h"
#include "tests/support/largest_request.h"
#include "tests/weights/weights_files.h"
#include "weights/checkpoint.h"
#include "weights/pickle.h"
#include "weights/torch_objects.h"
#include "weights/zip_file.h"

namespace fs = std::filesystem;
using namespace sr;
using namespace std::string_literals;
using Kind = PickleTree::Kind;

namespace {

const fs::path golden = fs::path(SR_TEST_DATA) / "golden" / "import";

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A pickle of protocol 2 with this body.
PickleTree parse(const std::string& body) {
  const std::string pickle = "\x80\x02" + body + ".";
  size_t position = 0;
  PickleTree tree = read_pickle(bytes_of(pickle), position, torch_globals(), "test");
  CHECK(position == pickle.size());
  return tree;
}

std::string refused(const std::string& body) {
  return refusal([&] { parse(body); });
}

std::string unicode(const std::string& text) {
  const auto n = static_cast<uint32_t>(text.size());
  return "X"s + std::string(reinterpret_cast<const char*>(&n), sizeof n) + text;
}

std::string repeated(const std::string& text, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

// PyTorch's stream around the pickle of an object, without storages.
std::string stream_of(const std::string& object) {
  return "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s + "\x80\x02M\xe9\x03."s + "\x80\x02}" +
         unicode("little_endian") + "\x88s." + "\x80\x02" + object + "." + "\x80\x02].";
}

std::string little_endian(uint64_t value, size_t n_bytes) {
  std::string out;
  for (size_t i = 0; i < n_bytes; ++i) out += static_cast<char>(i < 8 ? value >> (8 * i) : 0);
  return out;
}

// CRC-32 as zip has it.
uint32_t crc_of(const std::string& data) {
  uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

// A zip archive of deflated entries (one stored block each), whose unpacked sizes are whatever one says.
class ZipMaker {
 public:
  void add(const std::string& name, const std::string& data, uint32_t claimed_size) {
    const std::string packed = "\1" + little_endian(data.size(), 2) + little_endian(~data.size(), 2) + data;
    // Version, flags, method 8 (deflate), time and date, checksum, both sizes, lengths of name and extra field.
    const std::string fields = little_endian(20, 2) + little_endian(0, 2) + little_endian(8, 2) + little_endian(0, 4) +
                               little_endian(crc_of(data), 4) + little_endian(packed.size(), 4) +
                               little_endian(claimed_size, 4) + little_endian(name.size(), 2) + little_endian(0, 2);
    directory_ +=
        "PK\1\2" + little_endian(20, 2) + fields + little_endian(0, 10) + little_endian(local_.size(), 4) + name;
    local_ += "PK\3\4" + fields + name + packed;
    ++n_;
  }
  std::string finish() const {
    return local_ + directory_ + "PK\5\6" + little_endian(0, 4) + little_endian(n_, 2) + little_endian(n_, 2) +
           little_endian(directory_.size(), 4) + little_endian(local_.size(), 4) + little_endian(0, 2);
  }

 private:
  std::string local_, directory_;
  uint64_t n_ = 0;
};

}  // namespace

TEST_CASE("numbers, texts and containers are read") {
  CHECK(parse("N").root().kind == Kind::none);
  CHECK(parse("\x88").root().integer == 1);
  CHECK(parse("K\xff").root().integer == 255);
  CHECK(parse("M\x01\x02").root().integer == 513);
  CHECK(parse("J\xfe\xff\xff\xff").root().integer == -2);
  CHECK(parse("\x8a\x00"s).root().integer == 0);
  CHECK(parse("\x8a\x01\xff").root().integer == -1);
  CHECK(parse("\x8a\x03\x00\x00\x01"s).root().integer == 65536);
  CHECK(parse("G\x3f\xf8\0\0\0\0\0\0"s).root().real == 1.5);
  CHECK(parse("\x8a\x09\0\0\0\0\0\0\0\0\x01"s).root().kind == Kind::big_integer);

  const PickleTree text = parse(unicode("abc"));
  CHECK(text.text(text.root()) == "abc");
  const PickleTree tuple = parse("(K\1K\2t");
  REQUIRE(tuple.items(tuple.root()).size() == 2);
  CHECK(tuple.items(tuple.root())[1].integer == 2);
  const PickleTree dict = parse("}q\0(h\0Nu"s);  // a dictionary that is its own key
  CHECK(dict.items(dict.root())[0].node == dict.root().node);
  const PickleTree call = parse("ccollections\nOrderedDict\n)RK\1K\2s");
  CHECK(call.is_call(call.root(), "collections.OrderedDict"));
  CHECK(call.items(call.root()).size() == 4);
  const PickleTree new_protocol = parse(unicode("collections") + unicode("OrderedDict") + "\x93)R}b");
  CHECK(new_protocol.is_call(new_protocol.root(), "collections.OrderedDict"));
}

TEST_CASE("whatever could run is refused by its name") {
  const std::string system = unicode("touch /tmp/srengine_was_here");
  mentions(refused("cos\nsystem\n" + system + "\x85R"), "asks for 'os.system'");
  mentions(refused("cos\nsystem\n" + system + "\x85R"), "refused, nothing was run");
  mentions(refused("cposix\nsystem\n)R"), "'posix.system'");
  mentions(refused("cbuiltins\neval\n)R"), "'builtins.eval'");
  mentions(refused("c__builtin__\neval\n)R"), "'__builtin__.eval'");
  mentions(refused("cbuiltins\ngetattr\n)R"), "'builtins.getattr'");
  mentions(refused("ctorch\nload\n)R"), "'torch.load'");
  mentions(refused("ctorch._utils\n_rebuild_tensor_v2.__globals__\n)R"), "_rebuild_tensor_v2.__globals__");
  mentions(refused(unicode("os") + unicode("system") + "\x93)R"), "'os.system'");
  mentions(refused("c__main__\nMDCSRN\n)R"), "'__main__.MDCSRN'");
  mentions(refused("(ios\nsystem\n"), "INST");
  mentions(refused("(cos\nsystem\no"), "'os.system'");
  mentions(refused("(No"), "OBJ");
  mentions(refused("ccollections\nOrderedDict\n)\x81"), "NEWOBJ");
  mentions(refused("ccollections\nOrderedDict\n)}\x92"), "NEWOBJ_EX");
  mentions(refused("\x82\x01"), "EXT1");
  mentions(refused("\x83\x01\x01"), "EXT2");
  mentions(refused("\x84\x01\x01\x01\x01"), "EXT4");
  mentions(refused("Pwhatever\n"), "PERSID");
  mentions(refused("\x8b\xff\xff\xff\x7f"), "LONG4");
  mentions(refused("\x97"), "NEXT_BUFFER");
  mentions(refused("\xfe"), "0xfe");
  // BUILD sets an object's state, __setstate__ included; on a dictionary there is none, elsewhere it is refused.
  mentions(refused("ctorch\nSize\n)R}" + unicode("__setstate__") + "Nsb"), "BUILD");
  mentions(refused("ctorch\nFloatStorage\n}b"), "BUILD");
  mentions(refused("K\1}b"), "BUILD");
  // Calls of what is not a name.
  mentions(refused("K\1)R"), "calls what is not a function");
  mentions(refused(unicode("os.system") + ")R"), "calls what is not a function");
  mentions(refused("ccollections\nOrderedDict\nNR"), "calls what is not a function");
  CHECK_FALSE(fs::exists("/tmp/srengine_was_here"));
}

TEST_CASE("a pickle that breaks its own stack is refused") {
  const std::string bodies[] = {""s,
                                "("s,
                                "0"s,
                                "t"s,
                                "a"s,
                                "e"s,
                                "s"s,
                                "u"s,
                                "R"s,
                                "b"s,
                                "Q"s,
                                "\x85"s,
                                "\x86"s,
                                "\x93"s,
                                "q\0"s,
                                "(q\0"s,
                                "\x94"s,
                                "(0"s,
                                "(("s,
                                "NN"s,
                                "Na"s,
                                "NNa"s,
                                "](e(eN"s,
                                "}Ns"s,
                                "}(Nu"s,
                                "NNNs"s,
                                "(N\x85\x86"s,
                                "h\0"s,
                                "j\xff\xff\xff\xff"s,
                                "NN\x93"s,
                                "Nh\1"s};
  for (const std::string& body : bodies) {
    INFO(body);
    CHECK(refused(body) != accepted);
  }
  mentions(refused("h\7"), "recalls object 7");
  for (const char version : {'\0', '\1', '\6', '\xff'}) mentions(refused("\x80"s + version + "N"), "protocol");
}

TEST_CASE("lengths beyond the file are refused before anything is allocated") {
  for (const std::string& body : {"X\xff\xff\xff\xff"s, "X\xff\xff\xff\x7f"s, "T\xff\xff\xff\x7f"s, "U\xff"s,
                                  "\x8c\xff"s, "\x8a\xff"s, "\x8d\xff\xff\xff\xff\xff\xff\xff\xff"s,
                                  "\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"s, "cnever\nending"s, "cnever"s, "\x95\1"s})
    mentions(refused(body), "ends too early");
  std::string pickle = "\x80\x02N";
  size_t position = 0;
  mentions(refusal([&] { read_pickle(bytes_of(pickle), position, torch_globals(), "test"); }), "ends too early");
}

TEST_CASE("a pickle of millions of objects is stopped") {
  const size_t n = 3'000'000;
  mentions(refused(std::string(n, 'N')), "too deep");
  mentions(refused(std::string(n, '(')), "too deep");
  std::string empty_tuples, memo = "N";
  for (size_t i = 0; i < n; ++i) empty_tuples += ")0";
  mentions(refused(empty_tuples), "too many objects");
  memo += std::string(n, '\x94');
  mentions(refused(memo), "remembers too many");
}

TEST_CASE("objects that contain themselves, or each other twice, end") {
  const auto read = [](const std::string& object) {
    const Folder folder;
    write_bytes(folder / "x.pt", bytes_of(stream_of(object)));
    return refusal([&] { read_checkpoint(folder / "x.pt"); });
  };
  mentions(read("}q\0"s + unicode("self") + "h\0s"s), "no dictionary of named tensors");
  // {"a": d, "b": d} forty deep has 2^40 paths and 40 dictionaries.
  std::string doubled = "}q\0"s;
  for (char i = 0; i < 40; ++i)
    doubled += "}" + unicode("a") + "h" + i + "s" + unicode("b") + "h" + i + "sq" + static_cast<char>(i + 1);
  mentions(read(std::string("(") + doubled + "t"), "no dictionary of named tensors");
  mentions(read("N"), "no dictionary of named tensors");
  mentions(read("]"), "no dictionary of named tensors");
}

TEST_CASE("what the memo repeats is not copied") {
  const auto read = [](const std::string& object) {
    const std::string stream = stream_of(object);
    const Folder folder;
    write_bytes(folder / "x.pt", bytes_of(stream));
    test::all_requests = 0;
    const std::string sentence = refusal([&] { read_checkpoint(folder / "x.pt"); });
    // The file itself, 56 bytes for an object, 16 for an item, and vectors that double as they grow.
    CHECK(test::all_requests < 200 * stream.size() + 100'000);
    return sentence;
  };
  const std::string long_name = unicode(std::string(100'000, 'k')) + "q\0"s, dict = "ccollections\nOrderedDict\n";
  // Entries that share one long name: nothing in them, dictionaries, storages.
  mentions(read("}(" + long_name + "N" + repeated("h\0N"s, 30'000) + "u"), "no dictionary of named tensors");
  mentions(read("}(" + long_name + "}" + repeated("h\0}"s, 30'000) + "u"), "a name of 100001 letters, 'kkk");
  mentions(read("(" + long_name + repeated("(" + unicode("storage") + "ctorch\nFloatStorage\nh\0NK\1tQ"s, 1000) + "t"),
           "storage in a way");
  // A list of entries that one dictionary names many times over, or many dictionaries once each.
  const std::string list = "]q\1(" + unicode("a") + "N\x86q\0"s + repeated("h\0"s, 3000) + "e";
  mentions(read(list + "0" + dict + "(" + repeated("h\1", 3000) + "tR"), "more than one list");
  mentions(read(list + "0}(" + repeated(unicode("b") + dict + "h\1\x85R", 3000) + "u"),
           "many dictionaries of one list");
  // One list for one dictionary is how Python 2 wrote them.
  mentions(read(list + "0" + dict + "h\1\x85R"), "no dictionary of named tensors");

  // One tensor without numbers under one name in many dictionaries.
  const std::string storage =
      "(" + unicode("storage") + "ctorch\nFloatStorage\n" + unicode("0") + unicode("cpu") + "K\0NtQ"s;
  const std::string tensor =
      "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K\0K\0\x85K\1\x85\x89"s + dict + ")RtR";
  std::string stream = stream_of(tensor + "q\1" + "0" + unicode(std::string(1000, 'w')) + "q\0"s + "0}(" +
                                 repeated(unicode("d") + "}h\0h\1s"s, 3000) + "u");
  stream.erase(stream.size() - 4);
  stream += "\x80\x02]" + unicode("0") + "a." + std::string(8, '\0');
  const Folder folder;
  write_bytes(folder / "x.pt", bytes_of(stream));
  mentions(refusal([&] { read_checkpoint(folder / "x.pt"); }), "repeats its names");
}

TEST_CASE("tensors that lie about their storage are refused") {
  // A stream with one storage of four float32 and a tensor with the given offset, shape and strides.
  const auto read = [](const std::string& offset, const std::string& shape, const std::string& stride,
                       const std::string& numel = "K\4", const std::string& type = "FloatStorage",
                       const std::string& function = "_rebuild_tensor_v2", const std::string& view = "N",
                       char stored = 4) {
    const std::string id =
        "(" + unicode("storage") + "ctorch\n" + type + "\n" + unicode("0") + unicode("cpu") + numel + view + "tQ";
    const std::string object = "}" + unicode("w") + "ctorch._utils\n" + function + "\n(" + id + offset + shape +
                               stride + "\x89" + "ccollections\nOrderedDict\n)RtRs";
    std::string stream = stream_of(object);
    stream.erase(stream.size() - 4);
    stream += "\x80\x02]" + unicode("0") + "a." + stored + std::string(7, '\0') + std::string(16, '\1');
    const Folder folder;
    write_bytes(folder / "x.pt", bytes_of(stream));
    return refusal([&] { read_checkpoint(folder / "x.pt"); });
  };
  const std::string zero("K\0", 2), four = "K\4\x85", one = "K\1\x85";
  CHECK(read(zero, four, one) == accepted);
  CHECK(read(zero, "K\2K\2\x86", "K\1K\2\x86") == accepted);
  CHECK(read(zero, "K\1K\4\x86", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\1\x86") ==
        accepted);  // never stepped along
  mentions(read("K\1", four, one), "beyond the 4 numbers");
  mentions(read("J\xff\xff\xff\xff", four, one), "beyond the 4 numbers");
  mentions(read("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", four, one), "beyond the 4 numbers");
  mentions(read(zero, "K\5\x85", one), "beyond the 4 numbers");
  mentions(read(zero, "K\2\x85", "K\4\x85"), "beyond the 4 numbers");
  mentions(read(zero, "K\2\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"), "beyond the 4 numbers");
  mentions(read(zero, "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", "K\0\x85"s), "repeats its numbers");
  mentions(read(zero, "J\0\0\1\0J\0\0\1\0\x86"s, "K\0K\0\x86"s), "repeats its numbers");
  mentions(read(zero, "J\xff\xff\xff\xff\x85", one), "shape or stride");
  mentions(read(zero, "K\4\x85", ")"), "strides");
  mentions(read(zero, "(" + std::string(30, 'N') + "t", one), "shape or stride");
  mentions(read(zero, four, one, "K\5"), "needs 5 numbers");
  mentions(read(zero, four, one, "J\xff\xff\xff\xff"), "needs -1 numbers");
  mentions(read(zero, four, one, "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"), "needs 9223372036854775807 numbers");
  mentions(read(zero, four, one, "K\4", "Size"), "storage in a way");
  mentions(read(zero, four, one, "N"), "storage in a way");
  mentions(read(zero, four, one, "K\4", "DoubleStorage"), "ends within storage");
  mentions(read(zero, four, one, "K\4", "HalfStorage"), "belong to none");
  CHECK(read(zero, four, one, "K\4", "FloatStorage", "_rebuild_tensor") == accepted);
  mentions(read(zero, four, one, "K\4", "FloatStorage", "_rebuild_parameter"), "no tensor");
  CHECK(read(zero, "K\2\x85", one, "K\4", "FloatStorage", "_rebuild_tensor_v2", "(NK\1K\3t") == accepted);
  mentions(read(zero, four, one, "K\4", "FloatStorage", "_rebuild_tensor_v2", "(NK\1K\3t"), "beyond the 3 numbers");
  mentions(read(zero, one, one, "K\4", "FloatStorage", "_rebuild_tensor_v2", "(NK\2K\3t"), "needs 3 numbers");
  mentions(read(zero, four, one, "K\4", "FloatStorage", "_rebuild_tensor_v2", "N", 5), "ends within storage");
  mentions(read(zero, four, one, "K\4", "FloatStorage", "_rebuild_tensor_v2", "N", 3), "belong to none");
}

TEST_CASE("streams that are not PyTorch's are refused") {
  const Folder folder;
  const auto read = [&](const std::string& bytes) {
    write_bytes(folder / "x.pt", bytes_of(bytes));
    return refusal([&] { read_checkpoint(folder / "x.pt"); });
  };
  mentions(read("\x80\x02N."), "not one that torch.save wrote");
  mentions(read(""), "is no checkpoint");
  mentions(read("hello"), "is no checkpoint");
  mentions(read("\x89HDF\r\n\x1a\n"), "HDF5");
  mentions(read("\x93NUMPY\x01"), "single array");
  std::string stream = stream_of("}");
  std::string big_endian = stream;
  big_endian[stream.find('\x88')] = '\x89';
  mentions(read(big_endian), "little-endian");
  std::string version = stream;
  version[stream.find("M\xe9") + 1] = 1;
  mentions(read(version), "unknown version");
}

TEST_CASE("zip archives that lie about themselves are refused") {
  ZipMaker good;
  good.add("a", "hello", 5);
  good.add("b", "", 0);
  const std::string archive = good.finish();
  const ZipFile zip(bytes_of(archive), "x.zip");
  CHECK(zip.names() == std::vector<std::string>{"a", "b"});
  CHECK(zip.read("a") == std::vector<uint8_t>{'h', 'e', 'l', 'l', 'o'});
  CHECK(zip.read("b").empty());
  mentions(refusal([&] { zip.read("c"); }), "has no 'c'");

  // Each entry with its claimed size; all are opened, then all are read.
  const auto read = [](const std::vector<std::tuple<std::string, std::string, uint32_t>>& entries) {
    ZipMaker maker;
    for (const auto& [name, data, size] : entries) maker.add(name, data, size);
    const std::string bytes = maker.finish();
    test::largest_request = 0;
    const std::string sentence = refusal([&] {
      const ZipFile lying(bytes_of(bytes), "x.zip");
      for (const auto& entry : entries) lying.read(std::get<0>(entry));
    });
    CHECK(test::largest_request < 100'000);
    return sentence;
  };
  mentions(read({{"a", "1", 1}, {"a", "2", 1}}), "has 'a' twice");
  mentions(read({{"a", "hello", 0xfffffff0}}), "claims to unpack to more than");
  mentions(read({{"a", "hello", 1000}, {"b", "hello", 1000}, {"c", "hello", 8000}, {"d", "hello", 8000}}),
           "claims to unpack to more than");  // each of them would pass
  mentions(read({{"a", "hello", 1000}}), "'a' in the zip archive cannot be read");
  mentions(read({{"a", "hello", 4}}), "'a' in the zip archive cannot be read");
  mentions(read({{"a", "hello", 0}}), "'a' in the zip archive cannot be read");
  std::string damaged = archive;
  damaged[damaged.find("hello")] = 'j';
  mentions(refusal([&] { ZipFile(bytes_of(damaged), "x.zip").read("a"); }), "'a' in the zip archive cannot be read");
  mentions(refusal([&] { ZipFile(bytes_of(archive.substr(0, archive.size() - 1)), "x.zip"); }), "cannot be opened");
}

TEST_CASE("a checkpoint that ends anywhere is refused") {
  const Folder folder;
  for (const char* name : {"own_stream.pth", "own_zip.pt", "own.npz", "own_sorted.safetensors"}) {
    const std::vector<uint8_t> whole = read_file(golden / name);
    for (size_t n = 0; n < whole.size(); n += n < 6000 ? 1 : 37) {
      write_bytes(folder / "short", Bytes(whole).first(n));
      INFO(name << " cut to " << n << " of " << whole.size() << " bytes");
      REQUIRE(refusal([&] { read_checkpoint(folder / "short"); }) != accepted);
    }
  }
}

TEST_CASE("random damage to a checkpoint is refused or harmless, never fatal") {
  const Folder folder;
  std::mt19937_64 random(2);
  for (const char* name : {"own_stream.pth", "own_zip.pt", "own_views.pt", "own_nested.pt", "own_compressed.npz",
                           "own_big_endian.npz", "own_sorted.safetensors"}) {
    const std::vector<uint8_t> whole = read_file(golden / name);
    int refusals = 0;
    for (int round = 0; round < 700; ++round) {
      std::vector<uint8_t> damaged = whole;
      for (uint64_t n = 1 + random() % 5; n > 0; --n)
        damaged[random() % std::min<size_t>(damaged.size(), 8000)] = static_cast<uint8_t>(random());
      write_bytes(folder / "fuzz", damaged);
      refusals += refusal([&] { read_checkpoint(folder / "fuzz"); }) != accepted;
    }
    INFO(name);
    CHECK(refusals > 0);
  }
}

TEST_CASE("random instructions never do more than fail") {
  std::mt19937_64 random(3);
  const std::string ops = "(.0NJKMGTUXaebchjqrRsut)]}Q\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x93\x94\x95"s;
  for (int round = 0; round < 30'000; ++round) {
    std::string body;
    for (uint64_t n = random() % 60; n > 0; --n)
      body += random() % 4 ? ops[random() % ops.size()] : static_cast<char>(random() % 8);
    size_t position = 0;
    refusal([&] { read_pickle(bytes_of(body), position, torch_globals(), "test"); });
    REQUIRE(position <= body.size());
  }
}
