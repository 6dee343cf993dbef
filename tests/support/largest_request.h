// Counts allocations of a test program: linking largest_request.cpp sends every operator new through it.
#pragma once

#include <atomic>
#include <cstddef>

namespace sr::test {

// Bytes of the largest single request since it was last set to 0.
extern std::atomic<size_t> largest_request;
// Bytes of all requests together, returned ones included, since it was last set to 0: no less than was ever held at
// once.
extern std::atomic<size_t> all_requests;

}  // namespace sr::test
