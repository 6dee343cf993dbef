// Work shared out among threads.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sr {

// f(0) .. f(n - 1), each on a thread of its own, f(0) on the caller's. The first exception sets `failed`, which the
// others are to look at between two pieces of work, and is thrown on when all have ended.
template <class F>
void on_threads(int n, std::atomic<bool>& failed, F f) {
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto work = [&](int thread) {
    try {
      f(thread);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      failed = true;
    }
  };
  {
    std::vector<std::jthread> threads;  // joined also where one of them cannot be started
    for (int thread = 1; thread < n; thread++) threads.emplace_back(work, thread);
    work(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sr
