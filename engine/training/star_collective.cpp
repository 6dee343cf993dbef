#include "engine/training/star_collective.h"

#include <fmt/format.h>

#include <algorithm>

namespace sr::train {
namespace {

// Before each piece of data, on every wire. Failures have a sentence in place of numbers.
struct Frame {
  uint32_t magic = own_magic;
  int32_t status = 0;  // engine/base/status.h; 0: data
  int64_t n = 0;       // bytes that follow

  static constexpr uint32_t own_magic = 0x73725431;
  bool is_sane() const { return magic == own_magic && n >= 0 && n <= largest_payload; }
  static constexpr int64_t largest_payload = int64_t{1} << 20;
};

constexpr int64_t kLongestSentence = 4096;

// f(first, count) for blocks of n elements: what a frame holds bounds the memory for what others send.
template <class T, class F>
void in_blocks(int64_t n, F f) {
  constexpr int64_t block = Frame::largest_payload / sizeof(T);
  for (int64_t first = 0; first < n; first += block) f(first, std::min(block, n - first));
}

}  // namespace

StarCollective::StarCollective(const mpi::Api& mpi, int rank, int size)
    : mpi_(mpi), rank_(rank), size_(size), peers_(static_cast<size_t>(size)) {}

StarCollective::~StarCollective() {
  if (broken_)
    mpi_.abort(static_cast<int>(Status::resource_error));
  else
    mpi_.finish();
}

void StarCollective::check(const char* trouble) {
  if (!trouble) return;
  broken_ = true;
  throw Error(Status::resource_error, trouble);
}

void StarCollective::send(int to, const void* bytes, int64_t n) {
  if (n > 0) check(mpi_.send(to, bytes, n));
}

void StarCollective::receive(int from, void* bytes, int64_t n) {
  if (n > 0) check(mpi_.receive(from, bytes, n));
}

void StarCollective::lost(int other, const std::string& why) {
  if (rank() == 0)
    peers_[other].lost = true;
  else
    ended_ = true;
  throw OtherRankFailed(
      Status::resource_error,
      fmt::format("rank {} of {} is gone ({}); --resume goes on from the last checkpoint", other, size(), why), false);
}

void StarCollective::put(int to, const void* bytes, int64_t n) {
  const Frame frame{.n = n};
  try {
    send(to, &frame, sizeof frame);
    send(to, bytes, n);
  } catch (const Error& e) {
    lost(to, e.what());
  }
}

void StarCollective::take(int from, void* bytes, int64_t n) {
  Frame frame;
  std::string sentence, payload;
  try {
    receive(from, &frame, sizeof frame);
    if (!frame.is_sane()) lost(from, "what it sends makes no sense");
    if (frame.status != 0) {
      sentence.resize(static_cast<size_t>(std::min(frame.n, kLongestSentence)));
      receive(from, sentence.data(), static_cast<int64_t>(sentence.size()));
    } else if (frame.n == n) {
      receive(from, bytes, n);
    } else {
      payload.resize(static_cast<size_t>(frame.n));
      receive(from, payload.data(), frame.n);
    }
  } catch (const OtherRankFailed&) {
    throw;
  } catch (const Error& e) {
    lost(from, e.what());
  }
  if (rank() == 0) peers_[from].waits = true;
  if (frame.status == 0 && frame.n != n)
    throw OtherRankFailed(Status::resource_error,
                          fmt::format("rank {} is at another place of the run; start all ranks with the same program "
                                      "and the same options",
                                      from),
                          false);
  if (frame.status == 0) return;
  if (rank() != 0) ended_ = true;
  throw OtherRankFailed(static_cast<Status>(frame.status), fmt::format("rank {}: {}", from, sentence), rank() != 0);
}

void StarCollective::answer(const void* bytes, int64_t n) {
  for (int r = 1; r < size(); r++) {
    put(r, bytes, n);
    peers_[r].waits = false;
  }
}

template <class T>
void StarCollective::sum_block(T* values, int64_t n) {
  const int64_t n_bytes = n * static_cast<int64_t>(sizeof(T));
  if (rank() != 0) {
    put(0, values, n_bytes);
    take(0, values, n_bytes);
    return;
  }
  std::vector<double> total(values, values + n);
  std::vector<T> theirs(static_cast<size_t>(n));
  for (int r = 1; r < size(); r++) {
    take(r, theirs.data(), n_bytes);
    for (size_t i = 0; i < theirs.size(); i++) total[i] += double{theirs[i]};
  }
  std::ranges::transform(total, values, [](double v) { return static_cast<T>(v); });
  answer(values, n_bytes);
}

void StarCollective::sum(double* values, int64_t n) {
  in_blocks<double>(n, [&](int64_t first, int64_t count) { sum_block(values + first, count); });
}

void StarCollective::sum(float* values, int64_t n) {
  in_blocks<float>(n, [&](int64_t first, int64_t count) { sum_block(values + first, count); });
}

void StarCollective::broadcast(void* bytes, int64_t n) {
  in_blocks<char>(n, [&](int64_t first, int64_t count) {
    char* block = static_cast<char*>(bytes) + first;
    if (rank() != 0) {
      put(0, nullptr, 0);
      take(0, block, count);
      return;
    }
    for (int r = 1; r < size(); r++) take(r, nullptr, 0);
    answer(block, count);
  });
}

void StarCollective::finish() {
  sum_block<double>(nullptr, 0);
  ended_ = true;
}

bool StarCollective::fail(Status status, const std::string& sentence) {
  if (ended_) return false;
  ended_ = true;
  if (rank() == 0) {
    end_all(status);
    return false;
  }
  const std::string text = sentence.substr(0, static_cast<size_t>(kLongestSentence));
  const Frame frame{.status = static_cast<int32_t>(status), .n = static_cast<int64_t>(text.size())};
  try {
    send(0, &frame, sizeof frame);
    send(0, text.data(), frame.n);
    Frame heard;
    receive(0, &heard, sizeof heard);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// What a rank sends before it listens: numbers, or that it has failed as well.
void StarCollective::drain(int from) {
  Frame frame;
  receive(from, &frame, sizeof frame);
  if (!frame.is_sane()) throw Error(Status::resource_error, "what it sends makes no sense");
  std::vector<char> payload(static_cast<size_t>(frame.n));
  receive(from, payload.data(), frame.n);
}

// Rank 0's part. A rank that is lost on the way needs no answer.
void StarCollective::end_all(Status status) {
  const Frame frame{.status = static_cast<int32_t>(status)};
  for (int r = 1; r < size(); r++) {
    const Peer& peer = peers_[r];
    if (peer.lost) continue;
    try {
      if (!peer.waits) drain(r);
      send(r, &frame, sizeof frame);
    } catch (const Error&) {
      continue;
    }
  }
}

}  // namespace sr::train
