# Libraries from the distribution (setup.sh installs them). Debian 12 and Ubuntu 24.04 ship different majors of Catch2
# and different packaging of some headers, so what differs is settled here and nowhere else.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)  # libssl-dev; SHA-256 of weights
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(LIBZIP REQUIRED IMPORTED_TARGET libzip)

# nifticlib: NIfTI-1 and -2 (libnifti2-dev); its headers lie in their own folder.
find_path(NIFTI_INCLUDE_DIR nifti2_io.h PATH_SUFFIXES nifti REQUIRED)
find_library(NIFTI2_LIBRARY nifti2 REQUIRED)
find_library(ZNZ_LIBRARY znz REQUIRED)
add_library(nifti2 INTERFACE)
target_include_directories(nifti2 SYSTEM INTERFACE ${NIFTI_INCLUDE_DIR})
target_link_libraries(nifti2 INTERFACE ${NIFTI2_LIBRARY} ${ZNZ_LIBRARY} ZLIB::ZLIB)

# kissfft: the header-only template (its shared library is float only). System headers: its warnings are not ours.
find_path(KISSFFT_INCLUDE_DIR kissfft/kissfft.hh REQUIRED)
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-fcx-limited-range SRENGINE_HAS_CX_LIMITED_RANGE)
set(SRENGINE_COMPLEX_OPTIONS $<$<BOOL:${SRENGINE_HAS_CX_LIMITED_RANGE}>:-fcx-limited-range>)

# ONNX's messages and its checker (libonnx-dev, and libprotobuf-dev, which it does not depend on).
if(SRENGINE_ONNX)
  find_path(ONNX_INCLUDE_DIR onnx/onnx-ml.pb.h)
  find_library(ONNX_PROTO_LIBRARY onnx_proto)
  find_library(ONNX_LIBRARY onnx)
  find_package(Protobuf QUIET)
  if(ONNX_INCLUDE_DIR AND ONNX_PROTO_LIBRARY AND ONNX_LIBRARY AND TARGET protobuf::libprotobuf)
    add_library(onnx_messages INTERFACE)
    target_include_directories(onnx_messages SYSTEM INTERFACE ${ONNX_INCLUDE_DIR})
    # Its headers have to be told how the library was built: with the ai.onnx.ml domain, in this namespace.
    target_compile_definitions(onnx_messages INTERFACE ONNX_ML=1 ONNX_NAMESPACE=onnx)
    target_link_libraries(onnx_messages INTERFACE ${ONNX_PROTO_LIBRARY} protobuf::libprotobuf)
  else()
    message(STATUS "srengine export --onnx: no ONNX here (libonnx-dev, libprotobuf-dev), it is left out")
  endif()
endif()

if(SRENGINE_TESTS)
  find_package(Catch2 REQUIRED)  # 2.13 in Debian 12, 3.x in Ubuntu 24.04
endif()
