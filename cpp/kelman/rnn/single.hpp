// SPDX-License-Identifier: BSD-3-Clause
// One series, one step: rows of the network side by side in registers, where panels hold series side by side.
//
// A vector of h numbers is padded to whole registers; what a cell keeps is one such vector after another (state first,
// then gates), as a panel of one row has them. Sums run in the order of `affine`: the numbers of a panel, to the bit.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "kelman/rnn/panel.hpp"

namespace kelman::rnn {

/// n numbers in whole registers.
template <Real S>
constexpr Index padded(Index n) {
  return (n + register_lanes<S> - 1) / register_lanes<S> * register_lanes<S>;
}

/// Blocks of h numbers (or of none at all), each padded.
template <class S>
std::vector<S> padded_blocks(const S* from, Index blocks, Index h) {
  std::vector<S> all(static_cast<std::size_t>(from == nullptr ? 0 : blocks * padded<S>(h)));
  for (Index b = 0; from != nullptr && b < blocks; ++b) std::copy_n(from + b * h, h, all.begin() + b * padded<S>(h));
  return all;
}

/// A matrix of weights by columns: blocks of h rows, each block padded.
template <class S>
class Columns {
 public:
  Columns() = default;
  /// from (blocks h, cols) by rows; nothing where it is null
  Columns(const S* from, Index blocks, Index h, Index cols) {
    if (from == nullptr) return;
    cols_ = cols;
    height_ = blocks * padded<S>(h);
    numbers_.resize(static_cast<std::size_t>(cols * height_));
    for (Index b = 0; b < blocks; ++b)
      for (Index first = 0; first < h; first += register_lanes<S>) {  // some rows side by side, as they are written
        const Index rows = std::min<Index>(register_lanes<S>, h - first);
        const S* const own = from + (b * h + first) * cols;
        S* to = numbers_.data() + b * padded<S>(h) + first;
        for (Index c = 0; c < cols; ++c, to += height_)
          for (Index r = 0; r < rows; ++r) to[r] = own[r * cols + c];
      }
  }

  Index cols() const { return cols_; }
  Index height() const { return height_; }
  const S* data() const { return numbers_.data(); }

 private:
  Index cols_ = 0, height_ = 0;
  std::vector<S> numbers_;
};

/// One term: a matrix and the numbers it multiplies.
template <class S>
struct ColumnTerm {
  const Columns<S>* weights;
  const S* numbers;
};

namespace detail {

template <class S, int count>
void single_tile(S* to, const S* from, const ColumnTerm<S>* terms, std::size_t terms_count, Index first) {
  using V = Register<S>;
  V sum[count];
#pragma GCC unroll 8
  for (int r = 0; r < count; ++r) sum[r] = from == nullptr ? V(S(0)) : load<V>(from + r * lanes<V>);
  for (std::size_t t = 0; t < terms_count; ++t) {
    const Columns<S>& weights = *terms[t].weights;
    const S* column = weights.data() + first;
    for (Index c = 0; c < weights.cols(); ++c, column += weights.height()) {
      const S number = terms[t].numbers[c];
#pragma GCC unroll 8
      for (int r = 0; r < count; ++r) sum[r] = fused(number, load<V>(column + r * lanes<V>), sum[r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < count; ++r) store(to + r * lanes<V>, sum[r]);
}

}  // namespace detail

/// to (n numbers in whole registers) = from + M1 x1 + M2 x2 + ...; `from` may be null, and may be `to`.
template <class S>
void affine_single(S* to, Index n, const S* from, std::initializer_list<ColumnTerm<S>> terms) {
  constexpr Index width = register_lanes<S>;
  constexpr Index most = 8;
  Index first = 0;
  const auto run = [&](auto tile, Index count) {
    tile(to + first, from == nullptr ? nullptr : from + first, terms.begin(), terms.size(), first);
    first += count * width;
  };
  while (n - first >= most * width) run(&detail::single_tile<S, 8>, 8);
  if (n - first >= 4 * width) run(&detail::single_tile<S, 4>, 4);
  if (n - first >= 2 * width) run(&detail::single_tile<S, 2>, 2);
  if (n - first >= width) run(&detail::single_tile<S, 1>, 1);
}

/// The forward step of a cell for one series.
template <Real S>
class SingleStep {
 public:
  virtual ~SingleStep() = default;
  /// previous, now: padded vectors of h numbers, in the order of the cell's state and tape
  virtual void forward(const S* previous, const S* x, S* now) const = 0;
};

}  // namespace kelman::rnn
