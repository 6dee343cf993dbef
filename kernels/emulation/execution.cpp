// Compiled without sanitizer instrumentation (CMakeLists.txt): what the scheduler does to its own data and to the
// threads' deposits is no race of the kernel. What the kernel's barriers order, it tells ThreadSanitizer itself. Over 500
// lines because fibres, warps, barriers and the order in which they run share one state, which nobody else may see.
#include "kernels/emulation/execution.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "kernels/emulation/fiber.h"
#include "kernels/emulation/sanitizers.h"
#include "kernels/emulation/settings.h"
#include "kernels/emulation/shared_limits.h"

namespace sr::emulation {

constinit thread_local const Coordinates* coordinates = nullptr;

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;

enum class State : uint8_t { done, ready, at_barrier, in_collective };

struct Thread {
  Fiber fiber;
  uint3 index;
  unsigned rank;  // in the block; lane = rank % 32
  State state = State::done;
  CallSite waits_at;
};

// Lanes of one mask that meet in a collective.
struct Meeting {
  uint32_t mask = 0, arrived = 0, leaving = 0;
  unsigned generation = 0;
  Collective collective = {};
  CallSite site;
};

struct Warp {
  uint32_t exited = 0;
  // A lane belongs to one meeting at a time, so there are never more of them than lanes; mostly there is one.
  std::array<Meeting, kWarp> meetings;
  unsigned n_meetings = 0;  // that were needed in this block
  // What the lanes of each meeting left there. A fast lane may come to the next collective while slow ones still have
  // to read the deposits of this one, so there are two sets. Apart from the meetings, which are searched.
  using Deposits = std::array<Deposit, kWarp>;
  std::array<std::array<Deposits, 2>, kWarp> deposits;
};

std::string to_text(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}
std::string to_text(CallSite site) {
  return std::string(site.file) + ":" + std::to_string(site.line);
}
std::string to_text(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

bool same_text(const char* a, const char* b) {
  return a == b || std::strcmp(a, b) == 0;
}

// The shared memory of one block: the dynamic part, then the static arrays in the order in which the kernel comes to
// them, gaps around all of them.
class SharedMemory {
 public:
  SharedMemory() : arena_(static_cast<unsigned char*>(std::aligned_alloc(128, kArenaBytes))) {
    if (!arena_) fail("out of memory for shared memory");
    std::memset(arena_, kNaN, kArenaBytes);
  }
  ~SharedMemory() {
    unpoison(arena_, kArenaBytes);
    std::free(arena_);
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // The NaNs are written here and not where an array is first used, so that all threads of the block see them without
  // a barrier.
  void start_block(size_t dynamic_bytes) {
    unpoison(arena_, end_);
    std::memset(arena_, kNaN, end_);
    poison(arena_, kArenaBytes);
    arrays_.clear();
    end_ = 0;
    static_bytes_ = 0;
    dynamic_bytes_ = dynamic_bytes;
    add("dynamic shared memory", nullptr, dynamic_bytes, kGap);
  }

  unsigned char* dynamic() { return arena_ + arrays_[0].offset; }

  unsigned char* find_or_add(const char* name, const void* key, size_t bytes) {
    for (const Array& a : arrays_)
      if (a.key == key) return arena_ + a.offset;
    static_bytes_ += (bytes + 15) / 16 * 16;
    if (static_bytes_ > kStaticSharedLimit)
      fail("static shared memory: " + std::to_string(static_bytes_) + " bytes with " + name + ", 49152 are allowed");
    // Aligned to the 16 bytes that SR_SHARED promises, and to no more.
    return add(name, key, bytes, (end_ + kGap + 31) / 32 * 32 + 16);
  }

  bool contains(const void* p, size_t bytes) const {
    const auto address = reinterpret_cast<uintptr_t>(p);
    return std::any_of(arrays_.begin(), arrays_.end(), [&](const Array& a) {
      const auto begin = reinterpret_cast<uintptr_t>(arena_ + a.offset);
      return address >= begin && address + bytes <= begin + a.bytes;
    });
  }

  // AddressSanitizer stops at the write itself; this is for builds without it.
  void check_gaps() const {
    size_t at = 0;
    for (size_t i = 0; i <= arrays_.size(); i++) {
      const size_t gap_end = i < arrays_.size() ? arrays_[i].offset : end_ + kGap;
      for (; at < gap_end; at++)
        if (arena_[at] != kNaN)
          fail(std::string("shared memory was written ") +
               (i == 0 ? "in front of the " + std::string(arrays_[0].name)
                       : std::to_string(at - arrays_[i - 1].offset) + " bytes from the start of " +
                             arrays_[i - 1].name + ", which has " + std::to_string(arrays_[i - 1].bytes)));
      if (i < arrays_.size()) at = arrays_[i].offset + arrays_[i].bytes;
    }
  }

  size_t static_bytes() const { return static_bytes_; }
  size_t dynamic_bytes() const { return dynamic_bytes_; }

 private:
  static constexpr size_t kArenaBytes = 1 << 20;
  static constexpr size_t kGap = 128;
  static constexpr unsigned char kNaN = 0xff;

  struct Array {
    const char* name;
    const void* key;
    size_t offset, bytes;
  };

  unsigned char* add(const char* name, const void* key, size_t bytes, size_t offset) {
    if (offset + bytes + kGap > kArenaBytes) fail("shared memory arena is full");
    unpoison(arena_ + offset, bytes);
    arrays_.push_back({name, key, offset, bytes});
    end_ = offset + bytes;
    return arena_ + offset;
  }

  unsigned char* arena_;
  size_t end_ = 0;  // of the last array; beyond it all is NaN
  size_t static_bytes_ = 0, dynamic_bytes_ = 0;
  std::vector<Array> arrays_;
};

// Runs one block at a time on the OS thread that calls it.
class BlockRunner {
 public:
  void run(const Launch& launch, const std::vector<uint64_t>& blocks, Order order, uint64_t seed);

  void barrier(CallSite site);
  unsigned barrier_count(bool predicate, CallSite site);
  Exchanged exchange(uint32_t mask, const Deposit& mine, Collective collective, CallSite site);
  std::string where(CallSite site) const;
  std::string who_waits() const;

  Thread* running = nullptr;
  SharedMemory shared;

 private:
  static void thread_entry();
  void run_block();
  void thread_finished();
  void wait_in(State state, CallSite site);
  void switch_to(Thread& next);
  void let_others_run();
  Thread* next_ready();
  void open_barrier();
  Meeting& find_meeting(Warp& warp, uint32_t mask);

  const Launch* launch_ = nullptr;
  Coordinates coordinates_ = {};
  Order order_ = Order::forward;
  std::minstd_rand random_;

  Fiber os_thread_;
  std::unique_ptr<Thread[]> threads_ = std::make_unique<Thread[]>(kMaxThreads);
  std::unique_ptr<Warp[]> warps_ = std::make_unique<Warp[]>(kMaxThreads / kWarp);
  unsigned n_threads_ = 0;
  unsigned n_live_ = 0;  // have not exited

  unsigned n_at_barrier_ = 0;
  CallSite barrier_site_;
  unsigned barrier_generation_ = 0;
  unsigned predicates_[2] = {};

  // Addresses for ThreadSanitizer to hang its clocks on. By parity: a fast thread's arrival at the next barrier must
  // not look like its arrival at this one.
  char barrier_clock_[2] = {};
  char start_clock_ = 0, end_clock_ = 0;  // of a block
};

constinit thread_local BlockRunner* g_runner = nullptr;

void BlockRunner::run(const Launch& launch, const std::vector<uint64_t>& blocks, Order order, uint64_t seed) {
  g_runner = this;
  coordinates = &coordinates_;
  launch_ = &launch;
  order_ = order;
  random_.seed(static_cast<std::minstd_rand::result_type>(seed));
  coordinates_.block_size = launch.block;
  coordinates_.grid_size = launch.grid;
  for (const uint64_t b : blocks) {
    coordinates_.block = {static_cast<unsigned>(b % launch.grid.x),
                          static_cast<unsigned>(b / launch.grid.x % launch.grid.y),
                          static_cast<unsigned>(b / launch.grid.x / launch.grid.y)};
    run_block();
  }
  launch_ = nullptr;
  g_runner = nullptr;
  coordinates = nullptr;
}

void BlockRunner::run_block() {
  const dim3 size = launch_->block;
  n_threads_ = n_live_ = size.x * size.y * size.z;
  n_at_barrier_ = 0;
  shared.start_block(launch_->dynamic_shared);
  for (unsigned i = 0; i < n_threads_; i++) {
    Thread& t = threads_[i];
    t.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    t.rank = i;
    t.state = State::ready;
    t.fiber.start_at(thread_entry);
  }
  for (unsigned w = 0; w < (n_threads_ + kWarp - 1) / kWarp; w++) {
    warps_[w].exited = 0;
    warps_[w].n_meetings = 0;
  }
  os_thread_.adopt_os_thread();
  tsan_release(&start_clock_);
  running = nullptr;
  running = next_ready();
  coordinates_.thread = running->index;
  Fiber::switch_between(os_thread_, running->fiber);
  tsan_acquire(&end_clock_);
  running = nullptr;
  shared.check_gaps();
}

void BlockRunner::thread_entry() {
  Fiber::arrived();
  BlockRunner& runner = *g_runner;
  tsan_acquire(&runner.start_clock_);
  runner.launch_->body();
  tsan_release(&runner.end_clock_);
  runner.thread_finished();
}

void BlockRunner::thread_finished() {
  Thread& me = *running;
  Warp& warp = warps_[me.rank / kWarp];
  const uint32_t my_bit = 1u << me.rank % kWarp;
  for (unsigned i = 0; i < warp.n_meetings; i++) {
    const Meeting& m = warp.meetings[i];
    if (m.arrived && m.mask & my_bit)
      fail("lane " + std::to_string(me.rank % kWarp) + " exits, but the mask " + to_text(m.mask) + " of " +
               m.collective.name + " names it and other lanes wait for it",
           m.site);
  }
  warp.exited |= my_bit;
  me.state = State::done;
  n_live_--;
  // Exited threads count as arrived.
  if (n_live_ > 0 && n_at_barrier_ == n_live_) open_barrier();
  if (n_live_ == 0) Fiber::leave_for_good(me.fiber, os_thread_);
  Thread* next = next_ready();
  if (!next) fail("deadlock: every remaining thread waits");
  running = next;
  coordinates_.thread = next->index;
  Fiber::leave_for_good(me.fiber, next->fiber);
}

void BlockRunner::switch_to(Thread& next) {
  Thread& me = *running;
  running = &next;
  coordinates_.thread = next.index;
  Fiber::switch_between(me.fiber, next.fiber);
}

void BlockRunner::wait_in(State state, CallSite site) {
  running->state = state;
  running->waits_at = site;
  Thread* next = next_ready();
  if (!next) fail("deadlock: every remaining thread waits", site);
  switch_to(*next);
}

// The thread that completes a barrier would otherwise always be the first behind it.
void BlockRunner::let_others_run() {
  if (order_ != Order::random) return;
  Thread* next = next_ready();
  if (next != running) switch_to(*next);
}

// Forward: the next one by rank, cyclically; at the start the first. Reverse likewise. Random: the next one after a
// random place.
Thread* BlockRunner::next_ready() {
  const unsigned n = n_threads_;
  const bool reverse = order_ == Order::reverse;
  unsigned i = running ? running->rank : reverse ? 0 : n - 1;
  if (order_ == Order::random) i = static_cast<unsigned>(random_() % n);
  for (unsigned n_tried = 0; n_tried < n; n_tried++) {
    if (reverse) {
      i = i == 0 ? n - 1 : i - 1;
    } else {
      i = i == n - 1 ? 0 : i + 1;
    }
    if (threads_[i].state == State::ready) return &threads_[i];
  }
  return nullptr;
}

void BlockRunner::open_barrier() {
  n_at_barrier_ = 0;
  barrier_generation_++;
  predicates_[barrier_generation_ % 2] = 0;
  for (unsigned i = 0; i < n_threads_; i++)
    if (threads_[i].state == State::at_barrier) threads_[i].state = State::ready;
}

void BlockRunner::barrier(CallSite site) {
  if (n_at_barrier_ == 0) {
    barrier_site_ = site;
  } else if (barrier_site_.line != site.line || !same_text(barrier_site_.file, site.file)) {
    fail("divergent __syncthreads: other threads wait at " + to_text(barrier_site_), site);
  }
  void* clock = &barrier_clock_[barrier_generation_ % 2];
  tsan_release(clock);
  if (++n_at_barrier_ == n_live_) {
    open_barrier();
    let_others_run();
  } else {
    wait_in(State::at_barrier, site);
  }
  tsan_acquire(clock);
}

unsigned BlockRunner::barrier_count(bool predicate, CallSite site) {
  unsigned& count = predicates_[barrier_generation_ % 2];
  count += predicate;
  barrier(site);
  return count;
}

Meeting& BlockRunner::find_meeting(Warp& warp, uint32_t mask) {
  Meeting* unused = nullptr;
  for (unsigned i = 0; i < warp.n_meetings; i++) {
    Meeting& m = warp.meetings[i];
    const bool in_use = m.arrived || m.leaving;
    if (in_use && m.mask == mask) return m;
    if (!in_use) unused = &m;
  }
  if (!unused) {
    unused = &warp.meetings[warp.n_meetings++];
    unused->arrived = unused->leaving = 0;
  }
  unused->mask = mask;
  return *unused;
}

Exchanged BlockRunner::exchange(uint32_t mask, const Deposit& mine, Collective collective, CallSite site) {
  Thread& me = *running;
  const unsigned my_lane = me.rank % kWarp;
  Warp& warp = warps_[me.rank / kWarp];
  // The last warp of a block whose size is no multiple of 32 lacks lanes: a full mask is fine there.
  const unsigned n_lanes = std::min(kWarp, n_threads_ - me.rank / kWarp * kWarp);
  if (n_lanes < kWarp) mask &= (1u << n_lanes) - 1;
  if (!(mask >> my_lane & 1))
    fail(std::string(collective.name) + ": the mask " + to_text(mask) + " leaves out lane " + std::to_string(my_lane) +
             ", which calls it",
         site);
  if (mask & warp.exited)
    fail(std::string(collective.name) + ": the mask " + to_text(mask) + " names lane " +
             std::to_string(std::countr_zero(mask & warp.exited)) + ", which has exited",
         site);

  Meeting& m = find_meeting(warp, mask);
  if (m.arrived == 0) {
    m.collective = collective;
    m.site = site;
  } else if (!same_text(m.collective.name, collective.name)) {
    fail(std::string("divergent warp: ") + collective.name + " meets " + m.collective.name + " of " + to_text(m.site),
         site);
  }
  Warp::Deposits& deposits = warp.deposits[&m - warp.meetings.data()][m.generation % 2];
  if (collective.orders_memory) tsan_release(&deposits);
  deposits[my_lane] = mine;
  m.arrived |= 1u << my_lane;
  if (m.arrived == mask) {
    m.arrived = 0;
    m.leaving = mask;
    m.generation++;
    Thread* first = &threads_[me.rank - my_lane];
    for (unsigned i = 0; i < n_lanes; i++)
      if (mask >> i & 1) first[i].state = State::ready;
    let_others_run();
  } else {
    wait_in(State::in_collective, site);
  }
  m.leaving &= ~(1u << my_lane);
  if (collective.orders_memory) tsan_acquire(&deposits);
  return {deposits.data(), mask};
}

std::string BlockRunner::where(CallSite site) const {
  std::string text = " [kernel " + std::string(launch_->kernel_name) + " launched at " + to_text(launch_->site) +
                     ", block " + to_text(coordinates_.block);
  if (running) text += ", thread " + to_text(running->index);
  if (site.file) text += ", " + to_text(site);
  return text + "]";
}

std::string BlockRunner::who_waits() const {
  constexpr int kShown = 8;
  int n_waiting = 0;
  std::string text;
  for (unsigned i = 0; i < n_threads_; i++) {
    const Thread& t = threads_[i];
    if (t.state != State::at_barrier && t.state != State::in_collective) continue;
    if (++n_waiting > kShown) continue;
    text += "  thread " + to_text(t.index) + " waits in " +
            (t.state == State::at_barrier ? "__syncthreads" : "a warp collective") + " at " + to_text(t.waits_at) +
            "\n";
  }
  if (n_waiting > kShown) text += "  and " + std::to_string(n_waiting - kShown) + " more\n";
  return text + "  " + std::to_string(n_threads_ - n_live_) + " of " + std::to_string(n_threads_) +
         " threads have exited\n";
}

// Runners keep their stacks between launches.
class RunnerPool {
 public:
  std::unique_ptr<BlockRunner> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<BlockRunner>();
    std::unique_ptr<BlockRunner> runner = std::move(idle_.back());
    idle_.pop_back();
    return runner;
  }
  void give_back(std::unique_ptr<BlockRunner> runner) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(runner));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<BlockRunner>> idle_;
};

RunnerPool& pool() {
  static RunnerPool instance;
  return instance;
}

struct FunctionFacts {
  size_t dynamic_limit = kStaticSharedLimit;
  bool dynamic_limit_was_set = false;
  size_t static_seen = 0;
};
std::mutex g_functions_mutex;
std::map<const void*, FunctionFacts>& functions() {
  static std::map<const void*, FunctionFacts> instance;
  return instance;
}

// Known once the kernel has come to its arrays.
void check_shared_total(const Launch& launch, size_t static_bytes) {
  bool was_set;
  {
    const std::lock_guard lock(g_functions_mutex);
    FunctionFacts& facts = functions()[launch.function];
    facts.static_seen = std::max(facts.static_seen, static_bytes);
    was_set = facts.dynamic_limit_was_set;
  }
  const size_t limit = was_set ? shared_per_block_optin() : kStaticSharedLimit;
  if (static_bytes + launch.dynamic_shared > limit)
    fail("invalid launch configuration: " + std::to_string(static_bytes) + " bytes of static and " +
             std::to_string(launch.dynamic_shared) + " of dynamic shared memory, the kernel may have " +
             std::to_string(limit) + " in all [kernel " + launch.kernel_name + "]",
         launch.site);
}

std::vector<uint64_t> block_order(uint64_t n_blocks, Order order, uint64_t seed) {
  std::vector<uint64_t> blocks(n_blocks);
  std::iota(blocks.begin(), blocks.end(), uint64_t{0});
  if (order == Order::reverse) std::reverse(blocks.begin(), blocks.end());
  if (order == Order::random) std::shuffle(blocks.begin(), blocks.end(), std::mt19937_64(seed));
  return blocks;
}

}  // namespace

void check_launch(const Launch& launch) {
  const auto refuse = [&](const std::string& why) {
    fail("invalid launch configuration: " + why + " [kernel " + launch.kernel_name + "]", launch.site);
  };
  const auto extent = [](dim3 d) { return to_text(uint3{d.x, d.y, d.z}); };
  const dim3 g = launch.grid, b = launch.block;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535)
    refuse("a grid of " + extent(g) + " blocks");
  if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > 1024 || b.y > 1024 || b.z > 64 || b.x * b.y * b.z > kMaxThreads)
    refuse("a block of " + extent(b) + " threads");
  const size_t limit = dynamic_shared_limit(launch.function);
  if (launch.dynamic_shared > limit)
    refuse(std::to_string(launch.dynamic_shared) + " bytes of dynamic shared memory, the kernel may have " +
           std::to_string(limit) + " (cudaFuncSetAttribute)");
}

void run_grid(const Launch& launch) {
  if (g_runner) fail("a kernel launches a kernel", launch.site);
  const Settings s = settings();
  const std::vector<uint64_t> blocks =
      block_order(uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z, s.order, s.seed);
  const size_t n = std::clamp<size_t>(static_cast<size_t>(std::max(s.os_threads, 1)), 1, blocks.size());

  // A fixed share of the blocks each, and the pool's lock only outside: nothing orders the blocks of one OS thread
  // against those of another, as on the device.
  std::vector<std::vector<uint64_t>> shares(n);
  for (size_t i = 0; i < blocks.size(); i++) shares[i % n].push_back(blocks[i]);
  std::vector<std::unique_ptr<BlockRunner>> runners;
  for (size_t i = 0; i < n; i++) runners.push_back(pool().take());
  const auto run_share = [&](size_t i) { runners[i]->run(launch, shares[i], s.order, s.seed + i); };
  if (n == 1) {
    run_share(0);
  } else {
    std::vector<std::thread> os_threads;
    for (size_t i = 0; i < n; i++) os_threads.emplace_back(run_share, i);
    for (std::thread& t : os_threads) t.join();
  }
  size_t static_bytes = 0;
  for (const auto& runner : runners) static_bytes = std::max(static_bytes, runner->shared.static_bytes());
  check_shared_total(launch, static_bytes);
  for (auto& runner : runners) pool().give_back(std::move(runner));
}

void set_dynamic_shared_limit(const void* function, size_t bytes) {
  const std::lock_guard lock(g_functions_mutex);
  functions()[function].dynamic_limit = bytes;
  functions()[function].dynamic_limit_was_set = true;
}

size_t dynamic_shared_limit(const void* function) {
  const std::lock_guard lock(g_functions_mutex);
  return functions()[function].dynamic_limit;
}

size_t static_shared_seen(const void* function) {
  const std::lock_guard lock(g_functions_mutex);
  return functions()[function].static_seen;
}

void fail(const std::string& message, CallSite site) {
  std::string text = "emulation: " + message;
  if (g_runner) {
    text += g_runner->where(site) + "\n" + g_runner->who_waits();
  } else {
    text += (site.file ? " [" + to_text(site) + "]" : "") + "\n";
  }
  std::fflush(stdout);
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

namespace {
BlockRunner& runner(const char* function, CallSite site = {}) {
  if (!g_runner) fail(std::string(function) + " is called outside of a kernel", site);
  return *g_runner;
}
}  // namespace

unsigned lane() {
  return runner("lane").running->rank % kWarp;
}
void block_barrier(CallSite site) {
  runner("__syncthreads", site).barrier(site);
}
unsigned block_barrier_count(bool predicate, CallSite site) {
  return runner("__syncthreads_count", site).barrier_count(predicate, site);
}
Exchanged exchange(uint32_t mask, const Deposit& mine, Collective collective, CallSite site) {
  return runner(collective.name, site).exchange(mask, mine, collective, site);
}
void* shared_array(const void* key, size_t bytes, const char* name) {
  return runner("SR_SHARED").shared.find_or_add(name, key, bytes);
}
void* dynamic_shared_memory() {
  return runner("SR_DYN_SHARED").shared.dynamic();
}
bool is_shared_memory(const void* p, size_t bytes) {
  return g_runner && g_runner->shared.contains(p, bytes);
}

void memory_fence() {
  static char clock;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  tsan_release(&clock);
  tsan_acquire(&clock);
}

}  // namespace sr::emulation
