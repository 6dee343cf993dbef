// What the pickle of a PyTorch checkpoint means: storages, tensors that view them, and dictionaries of tensors.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "weights/checkpoint.h"
#include "weights/element_type.h"
#include "weights/pickle.h"

namespace sr {

// The names that PyTorch's pickles of tensors ask for. None of them is called.
std::span<const std::string_view> torch_globals();

// Finds the numbers of a storage by its key; the bytes live until the tensors are collected.
using StorageBytes = std::function<Bytes(const std::string& key)>;

// The type of each storage that the object refers to, by key. Throws WeightsError, starting with `where`.
std::map<std::string, ElementType> storage_types(const PickleTree& tree, const std::string& where);

// Every dictionary that holds tensors under text keys, outermost first. file_size bounds the numbers and, times a small
// constant, the letters of the names that all tensors together may have: views can repeat a few numbers, and the memo a
// name, without end. Throws WeightsError, starting with `where`.
std::vector<TensorGroup> collect_tensors(const PickleTree& tree, const StorageBytes& storage_bytes, bool big_endian,
                                         size_t file_size, const std::string& where);

}  // namespace sr
