// SPDX-License-Identifier: BSD-3-Clause
// From the visible state to the output: y_k = sigma(V h_k + D x_k + c), the same for every cell.
//
// Backward, with g_k = dL/dy_k . sigma'(.):  dV += g_k h_k'   dc += g_k   dD += g_k x_k'   dL/dh_k += V' g_k
// Shapes: V (o,h), c (o), D (o,i) or absent (no rows); blocks are lanes x size.
#pragma once

#include "kelman/rnn/activation.hpp"
#include "kelman/rnn/cell.hpp"

namespace kelman::rnn {

template <class S>
struct Readout {
  using Scalar = S;

  Weights<Scalar> V;
  Offsets<Scalar> c;
  Weights<Scalar> D;  // no rows: no direct term
  Activation activation;

  /// dV, dc, dD, one after another in memory.
  struct Gradient {
    WeightsOut<Scalar> V;
    OffsetsOut<Scalar> c;
    WeightsOut<Scalar> D;

    static Index size(const Readout& readout) { return readout.V.size() + readout.c.size() + readout.D.size(); }
    Gradient(const Readout& readout, Scalar* at)
        : V(at, readout.V.rows(), readout.V.cols()),
          c(at + readout.V.size(), readout.c.size()),
          D(at + readout.V.size() + readout.c.size(), readout.D.rows(), readout.D.cols()) {}
  };

  Index outputs() const { return V.rows(); }
  bool direct() const { return D.rows() > 0; }

  /// y <- sigma(H V' + X D' + c)   (lanes x o)
  template <class Visible>
  void forward(const Visible& h, const ConstBlock<Scalar>& x, Block<Scalar> y) const {
    product<false>(y, h, V.transpose());
    if (direct()) product<true>(y, x, D.transpose());
    y.rowwise() += c.transpose();
    activate(activation, y.data(), y.size());
  }

  /// g = dL/dy . sigma'(.), given; adds to the gradients and to dL/dh (lanes x h).
  template <class Visible>
  void backward(const Visible& h, const ConstBlock<Scalar>& x, const ConstBlock<Scalar>& g, Block<Scalar> visible,
                Gradient& gradient) const {
    product<true>(gradient.V, g.transpose(), h);
    add_column_sums(g.data(), g.rows(), gradient.c);
    if (direct()) product<true>(gradient.D, g.transpose(), x);
    product<true>(visible, g, V);
  }
};

}  // namespace kelman::rnn
