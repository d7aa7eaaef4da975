// SPDX-License-Identifier: BSD-3-Clause
// The Elman cell: h_k = sigma(U h_{k-1} + W x_k + b).
//
// Backward, with g_k = dL/dh_k (readout and later steps) and s_k the pre-activation:
//     e_k = g_k . sigma'(s_k)         dU += e_k h_{k-1}'   dW += e_k x_k'   db += e_k        dL/dh_{k-1} = U' e_k
// Shapes: U (h,h), W (h,i), b (h); blocks are lanes x h, so the products below read from the right.
// Reference: Elman, Finding structure in time, Cognitive Science 14 (1990); Werbos, Proc. IEEE 78 (1990).
#pragma once

#include "kelman/rnn/activation.hpp"
#include "kelman/rnn/cell.hpp"

namespace kelman::rnn::cells {

template <class S>
struct Elman {
  using Scalar = S;

  Weights<Scalar> U;
  Weights<Scalar> W;
  Offsets<Scalar> b;
  Activation activation;

  /// dU, dW, db, one after another in memory.
  struct Gradient {
    WeightsOut<Scalar> U;
    WeightsOut<Scalar> W;
    OffsetsOut<Scalar> b;
    Block<Scalar> scratch;  // lanes x h

    static Index size(const Elman& cell) { return cell.U.size() + cell.W.size() + cell.b.size(); }
    static Index scratch_columns(const Elman& cell) { return cell.hidden(); }
    Gradient(const Elman& cell, Scalar* at, Scalar* scratch_at, Index lanes)
        : U(at, cell.U.rows(), cell.U.cols()),
          W(at + cell.U.size(), cell.W.rows(), cell.W.cols()),
          b(at + cell.U.size() + cell.W.size(), cell.b.size()),
          scratch(scratch_at, lanes, cell.hidden()) {}
  };

  Index inputs() const { return W.cols(); }
  Index hidden() const { return U.rows(); }
  Index state() const { return U.rows(); }
  Index tape() const { return U.rows(); }

  void forward(const ConstBlock<Scalar>& previous, const ConstBlock<Scalar>& x, Block<Scalar> now) const {
    product<false>(now, previous, U.transpose());  // H U'      (lanes x h) = (lanes x h)(h x h)
    product<true>(now, x, W.transpose());          //   + X W'  (lanes x h) = (lanes x i)(i x h)
    now.rowwise() += b.transpose();
    activate(activation, now.data(), now.size());
  }

  void backward(const ConstBlock<Scalar>& previous, const ConstBlock<Scalar>& x, const ConstBlock<Scalar>& now,
                Block<Scalar> carried, Gradient& gradient) const {
    times_slope(activation, now.data(), carried.data(), carried.size());
    product<true>(gradient.U, carried.transpose(), previous);  // E'H  (h x h) = (h x lanes)(lanes x h)
    product<true>(gradient.W, carried.transpose(), x);         // E'X  (h x i)
    add_column_sums(carried.data(), carried.rows(), gradient.b);
    product<false>(gradient.scratch, carried, U);  // E U  (lanes x h)
    carried = gradient.scratch;
  }
};

static_assert(Cell<Elman<double>>, "the Elman cell must meet what the sequence driver asks");

}  // namespace kelman::rnn::cells
