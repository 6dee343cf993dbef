// The emulated kernels as a plugin: SRENGINE_CUDA_PLUGIN names it to the program. All of it comes from the libraries it
// is linked from; a target needs a source.
