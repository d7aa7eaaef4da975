// SPDX-License-Identifier: BSD-3-Clause
// Scratch memory, taken before a time loop and released all at once after it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "kelman/core/scalar.hpp"

namespace kelman {

/// Owner of the scratch arrays of one thread. Arrays start on a cache line of their own, and live as long
/// as the workspace; there is nothing to give back one by one.
class Workspace {
 public:
  /// Alignment of every array, in bytes: a cache line, and the widest vector register.
  static constexpr std::size_t alignment = 64;

  /// A zeroed array of `count` elements; not zeroed if it is `written` before it is read.
  template <class T>
  [[nodiscard]] T* take(Index count, bool written = false) {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                  "a workspace holds plain values only, for it never calls their destructors");
    return static_cast<T*>(reserve(sizeof(T) * static_cast<std::size_t>(count > 0 ? count : 1), written));
  }

 private:
  [[nodiscard, gnu::cold, gnu::noinline]] void* reserve(std::size_t bytes, bool written) {
    // zeroed by the system where it is large: pages that are never touched cost nothing
    Block block(written ? std::malloc(bytes + alignment) : std::calloc(bytes + alignment, 1));
    if (block == nullptr) {
      throw std::bad_alloc();
    }
    const auto address = reinterpret_cast<std::uintptr_t>(block.get());
    auto* const array = reinterpret_cast<std::byte*>((address + alignment - 1) / alignment * alignment);
    large_pages(array, bytes);
    blocks_.push_back(std::move(block));
    return array;
  }

  /// Asks for large pages where the array has some: the first touch of a page of 4 KiB costs as much as filling it.
  static void large_pages([[maybe_unused]] std::byte* array, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef __linux__
    constexpr std::size_t page = std::size_t(1) << 21;
    if (bytes >= 2 * page) {
      const auto address = reinterpret_cast<std::uintptr_t>(array);
      const std::uintptr_t first = (address + page - 1) / page * page;
      const std::uintptr_t last = (address + bytes) / page * page;
      static_cast<void>(madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE));
    }
#endif
  }

  struct Release {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  using Block = std::unique_ptr<void, Release>;
  std::vector<Block> blocks_;
};

}  // namespace kelman
