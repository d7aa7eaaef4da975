// SPDX-License-Identifier: BSD-3-Clause
// Series in memory <-> packs, for a field over (series, time): what a group reads and writes.
#pragma once

#include <cstdint>

#include "kelman/core/field.hpp"
#include "kelman/core/transpose.hpp"
#include "kelman/core/workspace.hpp"

namespace kelman::linear::shared {

/// The series that a group of lanes works on: series `of[l]` in lane l; the last one is repeated to fill the group.
template <int W>
struct Members {
  Index of[W];
  int count = 0;  ///< lanes that are not repetitions

  /// Members [begin, end) of a list of series (null: all series in order).
  Members(const Index* list, Index begin, Index end) noexcept
      : count(static_cast<int>(std::min<Index>(end - begin, W))) {
    for (int l = 0; l < W; ++l) {
      const Index at = begin + std::min(l, count - 1);
      of[l] = list != nullptr ? list[at] : at;
    }
  }
};

/// out (count×width) = the inner arrays (width) of steps [first, first + count) of a field.
template <class V>
void read(const Field<const scalar_of<V>>& field, const Members<kelman::lanes<V>>& members, Index first, Index count,
          Index width, V* out) noexcept {
  using Scalar = scalar_of<V>;
  constexpr int W = kelman::lanes<V>;
  const Scalar* rows[W];
  for (int l = 0; l < W; ++l) {
    rows[l] = field.at(members.of[l], first);
  }
  if (field.time == width || count == 1) {
    gather<V>(rows, Index(0), count * width, out);
    return;
  }
  for (Index c = 0; c < count; ++c) {
    for (Index j = 0; j < width; ++j) {
      for (int l = 0; l < W; ++l) {
        set_lane(out[c * width + j], l, rows[l][c * field.time + j]);
      }
    }
  }
}

/// Brings what `read` will want at a later step into the cache.
template <class V>
void expect(const Field<const scalar_of<V>>& field, const Members<kelman::lanes<V>>& members, Index first,
            Index count) noexcept {
#if defined(__GNUC__)
  using Scalar = scalar_of<V>;
  constexpr Index line = 64 / static_cast<Index>(sizeof(Scalar));
  const Index span = count * field.time;
  for (int l = 0; l < kelman::lanes<V>; ++l) {
    for (Index at = 0; at < span; at += line) {
      __builtin_prefetch(field.at(members.of[l], first) + at);
    }
  }
#else
  (void)field, (void)members, (void)first, (void)count;
#endif
}

/// Numbers from `row` to the next place where a whole register may be written.
template <Real Scalar>
[[nodiscard]] inline Index head_of(const Scalar* row) noexcept {
  constexpr auto bytes = static_cast<std::uintptr_t>(register_bytes);
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  return static_cast<Index>((bytes - address % bytes) % bytes / sizeof(Scalar));
}

/// Writes packs in[c] to number c of each row; `stride` numbers from one series to the next.
template <class V>
void write_columns(const V* in, Index count, scalar_of<V>* const* rows, Index stride, bool past_caches) noexcept {
  constexpr Index L = V::unit_lanes;
  const bool alike = stride * static_cast<Index>(sizeof(scalar_of<V>)) % register_bytes == 0;
  if (!alike || !past_caches) {
    scatter<false>(in, count, rows, Index(0));
    return;
  }
  const Index head = std::min(head_of(rows[0]), count);
  const Index whole = (count - head) / L * L;
  scatter<false>(in, head, rows, Index(0));
  scatter<true>(in + head, whole, rows, head);
  scatter<false>(in + head + whole, count - head - whole, rows, head + whole);
  stream_fence();
}

/// Writes the steps of a field over (series, time), of `width` numbers each, in order.
///
/// Packs wait in a buffer until they fill registers that begin where a cache line of the result does: then they are
/// written whole, and past the caches if the result is larger than these.
template <class V>
class Sink {
 public:
  using Scalar = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;

  /// `steps`: the most steps between two calls of `flush`.
  Sink(const Field<Scalar>& field, Index width, Index steps, bool past_caches, Workspace& memory)
      : field_(field),
        width_(width),
        past_caches_(past_caches),
        buffer_(field && !field.constant() ? memory.take<V>(steps * width + L) : nullptr) {}

  /// Starts at step k of the members.
  void open(const Members<W>& members, Index k) noexcept {
    if (buffer_ == nullptr) {
      return;
    }
    for (int l = 0; l < W; ++l) {
      rows_[l] = field_.at(members.of[l], k);
    }
    waiting_ = 0;
    done_ = 0;
    aligned_ = field_.series * static_cast<Index>(sizeof(Scalar)) % register_bytes == 0;
    head_ = aligned_ ? head_of(rows_[0]) : 0;
  }

  /// Where the next steps go (steps×width), or null if they are not kept.
  [[nodiscard]] V* room() noexcept { return buffer_ != nullptr ? buffer_ + waiting_ : nullptr; }

  /// Takes `steps` steps that were put into `room`.
  void flush(Index steps) noexcept {
    if (buffer_ == nullptr) {
      return;
    }
    waiting_ += steps * width_;
    if (!aligned_) {
      scatter<false>(buffer_, waiting_, rows_, done_);
      done_ += waiting_;
      waiting_ = 0;
      return;
    }
    Index from = 0;
    if (done_ < head_ && waiting_ >= head_) {
      scatter<false>(buffer_, head_, rows_, done_);
      from = head_;
    } else if (done_ < head_) {
      return;
    }
    const Index whole = (waiting_ - from) / L * L;
    if (past_caches_) {
      scatter<true>(buffer_ + from, whole, rows_, done_ + from);
    } else {
      scatter<false>(buffer_ + from, whole, rows_, done_ + from);
    }
    done_ += from + whole;
    const Index rest = waiting_ - from - whole;
    for (Index c = 0; c < rest; ++c) {
      buffer_[c] = buffer_[from + whole + c];
    }
    waiting_ = rest;
  }

  /// Writes what still waits.
  void close() noexcept {
    if (buffer_ != nullptr) {
      scatter<false>(buffer_, waiting_, rows_, done_);
      waiting_ = 0;
      if (past_caches_) {
        stream_fence();
      }
    }
  }

 private:
  static constexpr Index L = V::unit_lanes;
  Field<Scalar> field_;
  Index width_;
  bool past_caches_;
  bool aligned_ = false;
  V* buffer_;
  Index waiting_ = 0;
  Index done_ = 0;
  Index head_ = 0;
  Scalar* rows_[W] = {};
};

}  // namespace kelman::linear::shared
