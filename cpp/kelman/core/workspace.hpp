// SPDX-License-Identifier: BSD-3-Clause
// Scratch memory, taken before a time loop and released all at once after it.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "kelman/core/scalar.hpp"

namespace kelman {

/// Owner of the scratch arrays of one thread. Arrays are zeroed, start on a cache line of their own, and live as long
/// as the workspace; there is nothing to give back one by one.
class Workspace {
 public:
  /// Alignment of every array, in bytes: a cache line, and the widest vector register.
  static constexpr std::size_t alignment = 64;

  /// A zeroed array of `count` elements.
  template <class T>
  [[nodiscard]] T* take(Index count) {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                  "a workspace holds plain values only, for it never calls their destructors");
    const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(count > 0 ? count : 1);
    Block block(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{alignment})));
    std::memset(block.get(), 0, bytes);
    T* const array = reinterpret_cast<T*>(block.get());
    blocks_.push_back(std::move(block));
    return array;
  }

 private:
  struct Release {
    void operator()(std::byte* memory) const noexcept { ::operator delete(memory, std::align_val_t{alignment}); }
  };
  using Block = std::unique_ptr<std::byte, Release>;
  std::vector<Block> blocks_;
};

}  // namespace kelman
