#include "engine/training/mpi_link.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "engine/base/plugin_files.h"
#include "engine/training/mpi_api.h"

namespace sr::train {
namespace {

constexpr const char* way_out =
    "build srtrain where libopenmpi-dev is installed, or start it with torchrun or `srun --mpi=none`, which need no "
    "MPI";

const mpi::Api& load_plugin() {
  std::string why_not = "libsrtrain_mpi.so is not beside this program";
  for (const std::filesystem::path& file : plugin_files("SRTRAIN_MPI_PLUGIN", "libsrtrain_mpi.so")) {
    std::error_code error;
    const bool is_there = file.has_parent_path() && std::filesystem::exists(file, error);
    if (file.has_parent_path() && !is_there) {
      if (std::getenv("SRTRAIN_MPI_PLUGIN")) why_not = fmt::format("{} does not exist", file.string());
      continue;
    }
    // Global: MPI opens plugins of its own, which look for its symbols.
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
      if (is_there) why_not = dlerror();
      continue;
    }
    const auto entry = reinterpret_cast<const mpi::Api* (*)(int)>(dlsym(library, "srtrain_mpi_api"));
    if (const mpi::Api* api = entry ? entry(mpi::api_version) : nullptr) return *api;
    why_not = fmt::format("{} belongs to another version of srtrain", file.string());
    dlclose(library);
  }
  throw Error(Status::device_trouble,
              fmt::format("several processes were started by MPI, and it cannot be used: {}; {}", why_not, way_out));
}

void check(const char* trouble) {
  if (trouble) throw Error(Status::device_trouble, trouble);
}

class MpiLink final : public Link {
 public:
  explicit MpiLink(const Ranks& ranks) : api_(load_plugin()) {
    check(api_.start(&rank_, &size_));
    if (rank_ == ranks.rank && size_ == ranks.size) return;
    const std::string sentence = fmt::format(
        "mpirun says that this process is rank {} of {}, libsrtrain_mpi.so says {} of {}; it was built with "
        "another MPI than that mpirun's",
        ranks.rank, ranks.size, rank_, size_);
    api_.finish();
    throw Error(Status::device_trouble, sentence);
  }
  ~MpiLink() override {
    if (broken_)
      api_.abort(static_cast<int>(Status::device_trouble));  // the others may wait for a rank that is not there
    else
      api_.finish();
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void send(int to, const void* bytes, int64_t n) override {
    if (n > 0) use(api_.send(to, bytes, n));
  }
  void receive(int from, void* bytes, int64_t n) override {
    if (n > 0) use(api_.receive(from, bytes, n));
  }

 private:
  void use(const char* trouble) {
    if (trouble) broken_ = true;
    check(trouble);
  }

  const mpi::Api& api_;
  int rank_ = 0, size_ = 1;
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<Link> open_mpi_link(const Ranks& ranks) {
  return std::make_unique<MpiLink>(ranks);
}

}  // namespace sr::train
