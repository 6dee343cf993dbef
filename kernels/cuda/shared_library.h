// A library that is opened when it is wanted, and looked into for what is called of it.
#pragma once

#include <dlfcn.h>

#include <cstdio>

namespace sr::cuda {

// Where find() has nothing, why_not has a clause. What was opened stays: its code may be in use until the end.
class SharedLibrary {
 public:
  explicit SharedLibrary(char (&why_not)[256]) : why_not_(why_not) {}

  bool open(const char* file) {
    file_ = file;
    return (library_ = dlopen(file, RTLD_NOW | RTLD_LOCAL)) != nullptr;
  }
  template <class Function>
  bool find(Function& function, const char* symbol) const {
    function = reinterpret_cast<Function>(dlsym(library_, symbol));
    if (function) return true;
    std::snprintf(why_not_, sizeof why_not_, "%s has no %s", file_, symbol);
    return false;
  }

 private:
  char (&why_not_)[256];
  const char* file_ = nullptr;
  void* library_ = nullptr;
};

}  // namespace sr::cuda
