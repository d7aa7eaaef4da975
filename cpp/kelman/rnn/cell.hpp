// SPDX-License-Identifier: BSD-3-Clause
// What the sequence driver asks of a recurrent cell, and the views they share.
//
// The driver works on blocks of `lanes` series side by side. A block is a column-major matrix lanes x size: number j of
// all lanes is contiguous, so that elementwise work is one long loop whatever the size of the network.
//
// A cell keeps one *tape* row per step: its first `hidden()` columns are the visible state h_k, the rest whatever its
// backward step needs (the gates of a gated cell). The state carried to the next step is the leading `state()` columns.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <concepts>
#include <type_traits>

#include "kelman/core/scalar.hpp"

namespace kelman::rnn {

static_assert(std::is_same_v<Index, Eigen::Index>, "one index type in the core and in Eigen");

template <class Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
template <class Scalar>
using RowMatrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class Scalar>
using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

template <class Scalar>
using Block = Eigen::Map<Matrix<Scalar>>;
template <class Scalar>
using ConstBlock = Eigen::Map<const Matrix<Scalar>>;
template <class Scalar>
using Weights = Eigen::Map<const RowMatrix<Scalar>>;
template <class Scalar>
using Offsets = Eigen::Map<const Vector<Scalar>>;
template <class Scalar>
using WeightsOut = Eigen::Map<RowMatrix<Scalar>>;
template <class Scalar>
using OffsetsOut = Eigen::Map<Vector<Scalar>>;

/// dst (+)= left * right, entry by entry. For small products: Eigen's own way with them begins its sums where an
/// aligned packet begins, so that the last bit would depend on where memory lies.
template <bool add, class Dst, class Left, class Right>
void small_product(Dst& dst, const Left& left, const Right& right) {
  for (Index j = 0; j < dst.cols(); ++j) {
    for (Index i = 0; i < dst.rows(); ++i) {
      typename Dst::Scalar sum = add ? dst.coeff(i, j) : typename Dst::Scalar(0);
      for (Index k = 0; k < right.rows(); ++k) sum += left.coeff(i, k) * right.coeff(k, j);
      dst.coeffRef(i, j) = sum;
    }
  }
}

/// dst (+)= left * right, in panels of columns small enough that Eigen packs them on the stack: no heap in a time loop.
template <bool add, class Dst, class Left, class Right>
void product(Dst&& dst, const Left& left, const Right& right) {
  constexpr Index small = 24;  // above Eigen's own limit for its entrywise products, 20
  constexpr Index packed = 96 * 1024 / static_cast<Index>(sizeof(typename std::decay_t<Dst>::Scalar));
  if (dst.rows() + right.rows() + dst.cols() < small) {
    small_product<add>(dst, left, right);
    return;
  }
  const Index depth = std::clamp<Index>(right.rows(), 1, 256);
  const Index panel = std::max<Index>(24, packed / depth / 8 * 8);
  for (Index j = 0; j < right.cols(); j += panel) {
    const Index cols = std::min(panel, right.cols() - j);
    if constexpr (add) {
      dst.middleCols(j, cols).noalias() += left * right.middleCols(j, cols);
    } else {
      dst.middleCols(j, cols).noalias() = left * right.middleCols(j, cols);
    }
  }
}

/// sums += the sum over the lanes of each column, in an order that no alignment of memory changes (Eigen's own sums
/// begin where an aligned packet begins).
template <class Scalar>
void add_column_sums(const Scalar* block, Index lanes, OffsetsOut<Scalar>& sums) {
  constexpr Index width = 8;
  for (Index j = 0; j < sums.size(); ++j, block += lanes) {
    Scalar part[width] = {};
    Index l = 0;
    for (; l + width <= lanes; l += width)
      for (Index q = 0; q < width; ++q) part[q] += block[l + q];
    for (Index q = 0; l < lanes; ++l, ++q) part[q] += block[l];
    sums(j) += ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
  }
}

/// A recurrent cell: sizes, one step forward, one step back. `Cell::Gradient` adds into arrays shaped like the weights.
template <class C>
concept Cell = requires(const C& cell, ConstBlock<typename C::Scalar> previous, ConstBlock<typename C::Scalar> x,
                        Block<typename C::Scalar> now, ConstBlock<typename C::Scalar> tape,
                        Block<typename C::Scalar> carried, typename C::Gradient& gradient) {
  { cell.inputs() } -> std::same_as<Index>;
  { cell.hidden() } -> std::same_as<Index>;
  { cell.state() } -> std::same_as<Index>;
  { cell.tape() } -> std::same_as<Index>;
  /// tape row `now` from the state `previous` and the input x
  cell.forward(previous, x, now);
  /// carried: in dL/dstate_k, out dL/dstate_{k-1}; weight gradients are added
  cell.backward(previous, x, tape, carried, gradient);
  /// one weight gradient after another in memory, in the order of the weights' names
  { C::Gradient::size(cell) } -> std::same_as<Index>;
};

}  // namespace kelman::rnn
