// The backends that run on the host: `cpu` and `ref`.
#pragma once

#include "engine/backends/backend.h"

namespace sr {

std::unique_ptr<Backend> make_host_backend(const Network& network, const BackendOptions& options);

}  // namespace sr
