# nvcc and the architectures to compile for. Must come before enable_language(CUDA), so nvcc is asked by hand.
find_program(SRENGINE_NVCC nvcc HINTS /usr/local/cuda/bin ENV CUDA_PATH PATH_SUFFIXES bin)
if(NOT SRENGINE_NVCC)
  message(FATAL_ERROR "SRENGINE_CUDA needs nvcc from the CUDA Toolkit; add its bin folder to PATH, or leave it off")
endif()
if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${SRENGINE_NVCC})
endif()

set(architectures ${SRENGINE_CUDA_ARCHITECTURES})
if(NOT architectures)
  # Pascal (61) and Volta (70) with toolkits before 13; the code of the newest one as PTX too, for GPUs to come.
  execute_process(COMMAND ${SRENGINE_NVCC} --list-gpu-code OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
  foreach(architecture 61 70 75 80 86 89 90 100 120)
    if(known MATCHES "sm_${architecture}[\r\n]")
      list(APPEND architectures ${architecture}-real)
      set(newest ${architecture})
    endif()
  endforeach()
  list(APPEND architectures ${newest}-virtual)
endif()
set(CMAKE_CUDA_ARCHITECTURES ${architectures})
message(STATUS "CUDA architectures: ${CMAKE_CUDA_ARCHITECTURES}")

if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
enable_language(CUDA)

# CMake before 3.26 does not know that nvcc has C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
# Not before: CMake would ask for them before it has looked at the compiler.
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)

# cuFFT's header alone; the library is opened at run time (kernels/cuda/cufft_library.h).
find_path(SRENGINE_CUFFT_INCLUDE cufft.h HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} NO_CACHE)
if(NOT SRENGINE_CUFFT_INCLUDE)
  message(FATAL_ERROR "cufft.h is not beside nvcc's headers; install the CUDA Toolkit's cuFFT development package")
endif()
