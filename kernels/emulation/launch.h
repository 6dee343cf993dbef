// What SR_LAUNCH, SR_SHARED and SR_DYN_SHARED turn into.
#pragma once

#include <tuple>
#include <utility>

#include "kernels/emulation/runtime_api.h"

namespace sr::emulation {

// Arguments are converted to the kernel's parameter types and copied, now; a captured launch keeps them.
template <class... P, class... A>
void launch(const char* kernel_name, CallSite site, void (*kernel)(P...), dim3 grid, dim3 block, size_t dynamic_shared,
            cudaStream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "number of kernel arguments");
  static_assert(sizeof(std::tuple<P...>) <= 4096, "CUDA passes at most 4 KiB of arguments");
  std::tuple<P...> bound(static_cast<P>(arguments)...);
  submit_launch({kernel_name, site, reinterpret_cast<const void*>(kernel), grid, block, dynamic_shared,
                 [kernel, bound] { std::apply(kernel, bound); }},
                stream);
}

// key: an address that only this array of this instantiation of the kernel has.
template <class T>
T& shared_variable(const void* key, const char* name) {
  static_assert(alignof(T) <= 16, "SR_SHARED promises 16 bytes");
  return *static_cast<T*>(shared_array(key, sizeof(T), name));
}

}  // namespace sr::emulation
