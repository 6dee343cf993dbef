// Every network there is. One is a line here and two files: weights/architectures/NAME.cpp, which defines
//
//   const Architecture& architectures::NAME();
//
// and engine/networks/net_NAME.cpp, which defines
//
//   std::unique_ptr<Network> make_NAME(const Weights& weights);
//
// (docs/add-a-network.md). A macro, so that the two rooms share one list and the linker names what is missing.
//
// Sentences list them in this order. A checkpoint or a name is read as the first of them, from the second on, that
// knows it; what none of these knows is for the first of all, mDCSRN, to read or to refuse.
#pragma once

#define SRENGINE_NETWORKS(X) \
  X(mdcsrn)                  \
  X(fsrcnn)                  \
  X(srresnet)                \
  X(srdensenet)
