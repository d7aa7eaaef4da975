// SPDX-License-Identifier: BSD-3-Clause
// Normal equations of an Elman network for Gauss-Newton and Levenberg-Marquardt, without ever storing the Jacobian.
//
// theta = [U, W, b (, h0)] moves the state, phi = [V, c, D] only the output. Forward sensitivities S_k = d h_k / d
// theta:
//     S_k = diag(sigma_h'(h_k)) (U S_{k-1} + E_k)        (h x Ps) = (h x h)(h x Ps) + (h x Ps)
//     row j of E_k: h_{k-1} in the columns of U[j,:], x_k in those of W[j,:], 1 in that of b[j];    S_0 = 0 | I (h0)
//     d y_k / d theta = diag(sigma_y') V S_k              d y_kj / d (V[j,:], c[j], D[j,:]) = sigma_y' (h_k, 1, x_k)
// Rows of the Jacobian are collected for some steps and added to J'WJ as one symmetric rank update.
// Result: J'WJ / sum w, J'W e / sum w, sum w e^2 / sum w; the gradient of the mean loss is 2 J'We / sum w.
// Order of the parameters: U, W, b, V, c, D, h0, each by rows. Cost per step: h^2 Ps + o P^2 / 2 multiplications.
// Reference: Williams and Zipser, Neural Computation 1 (1989) for the recursion; Ljung, System Identification, 10.3.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kelman/rnn/cells/elman.hpp"
#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

/// J'WJ (lower triangle until `mean`), J'We and the sums of the loss; mean() divides by the weight and mirrors.
template <class Scalar>
struct NormalEquations {
  double loss = 0;
  double weight = 0;
  Matrix<Scalar> JtJ;
  Vector<Scalar> Jtr;

  void clear(Index size) {
    JtJ.setZero(size, size);
    Jtr.setZero(size);
  }
  void add(const NormalEquations& other) {
    loss += other.loss;
    weight += other.weight;
    JtJ += other.JtJ;
    Jtr += other.Jtr;
  }
  void mean() {
    const Scalar scale = static_cast<Scalar>(1.0 / weight);
    loss /= weight;
    JtJ *= scale;
    Jtr *= scale;
    JtJ.template triangularView<Eigen::StrictlyUpper>() = JtJ.transpose();
  }
};

/// Where each weight array begins in the vector of parameters.
struct ParameterLayout {
  Index h, i, o, U, W, b, V, c, D, h0, size;
  bool direct, learns_start;

  ParameterLayout(Index hidden, Index inputs, Index outputs, bool has_direct, bool start)
      : h(hidden),
        i(inputs),
        o(outputs),
        U(0),
        W(U + h * h),
        b(W + h * i),
        V(b + h),
        c(V + o * h),
        D(c + o),
        h0(D + (has_direct ? o * i : 0)),
        size(h0 + (start ? h : 0)),
        direct(has_direct),
        learns_start(start) {}

  Index before_readout() const { return V; }                          // U, W, b
  Index state_columns() const { return V + (learns_start ? h : 0); }  // Ps
};

/// The sensitivities of one series at a time, and the rows of the Jacobian waiting to be added.
template <class Scalar>
class Sensitivities {
 public:
  Sensitivities(const cells::Elman<Scalar>& cell, const Readout<Scalar>& readout, bool learns_start)
      : cell_(cell),
        readout_(readout),
        at_(cell.hidden(), cell.inputs(), readout.outputs(), readout.direct(), learns_start),
        capacity_(std::clamp<Index>(12288 / at_.size, 8, 256)),
        S_(at_.h, at_.state_columns()),
        next_(at_.h, at_.state_columns()),
        rows_(RowMatrix<Scalar>::Zero(capacity_, at_.size)),
        errors_(capacity_),
        VS_(at_.o, at_.state_columns()),
        h_(1, at_.h),
        h_next_(1, at_.h),
        x_(1, at_.i),
        y_(1, at_.o) {}

  /// Adds one series to the sums.
  void add_series(const Inputs<Scalar>& in, const Targets<Scalar>& targets, Index n, NormalEquations<Scalar>& sums,
                  Interrupt& stop) {
    S_.setZero();
    if (at_.learns_start) S_.rightCols(at_.h).setIdentity();
    for (Index j = 0; j < at_.h; ++j) h_(0, j) = in.h0.at(n, 0)[j];
    const Index length = in.length(n);
    for (Index k = 0; k < length; ++k) {
      if (k % detail::steps_between_checks == 0 && stop.check()) return;
      const Scalar* x = in.x.at(n, k);
      std::copy_n(x, at_.i, x_.data());
      step();
      add_outputs(targets, n, k, sums);
    }
    flush(sums);
  }

 private:
  using Row = Eigen::Matrix<Scalar, 1, Eigen::Dynamic>;

  void step() {
    const ConstBlock<Scalar> x(x_.data(), 1, at_.i);
    cell_.forward(ConstBlock<Scalar>(h_.data(), 1, at_.h), x, Block<Scalar>(h_next_.data(), 1, at_.h));
    product<false>(next_, cell_.U, S_);
    for (Index j = 0; j < at_.h; ++j) {
      next_.row(j).segment(at_.U + j * at_.h, at_.h) += h_;
      next_.row(j).segment(at_.W + j * at_.i, at_.i) += x_;
      next_(j, at_.b + j) += Scalar(1);
    }
    with_activation(cell_.activation, [&](auto row) {
      if constexpr (!std::is_same_v<decltype(row), Identity>)
        for (Index j = 0; j < at_.h; ++j) next_.row(j) *= row.slope(h_next_(0, j));
    });
    S_.swap(next_);
    h_.swap(h_next_);
  }

  void add_outputs(const Targets<Scalar>& targets, Index n, Index k, NormalEquations<Scalar>& sums) {
    if (k < targets.warmup) return;
    const ConstBlock<Scalar> x(x_.data(), 1, at_.i);
    readout_.forward(ConstBlock<Scalar>(h_.data(), 1, at_.h), x, Block<Scalar>(y_.data(), 1, at_.o));
    product<false>(VS_, readout_.V, S_);
    for (Index j = 0; j < at_.o; ++j) {
      const auto [weight, error] = targets.weighted_error(n, k, j, y_(0, j));
      if (!(weight > Scalar(0))) continue;
      sums.loss += static_cast<double>(weight) * static_cast<double>(error) * static_cast<double>(error);
      sums.weight += static_cast<double>(weight);
      add_row(j, std::sqrt(weight), error);
      if (waiting_ == capacity_) flush(sums);
    }
  }

  /// Row of sqrt(w) J for output j; the columns of the other outputs' readout weights stay zero.
  void add_row(Index j, Scalar root, Scalar error) {
    Scalar slope = 1;
    with_activation(readout_.activation, [&](auto row) { slope = row.slope(y_(0, j)); });
    const Scalar factor = root * slope;
    auto row = rows_.row(waiting_);
    row.segment(at_.V, at_.h0 - at_.V).setZero();
    row.head(at_.before_readout()) = factor * VS_.row(j).head(at_.before_readout());
    if (at_.learns_start) row.tail(at_.h) = factor * VS_.row(j).tail(at_.h);
    row.segment(at_.V + j * at_.h, at_.h) = factor * h_;
    row(at_.c + j) = factor;
    if (at_.direct) row.segment(at_.D + j * at_.i, at_.i) = factor * x_;
    errors_(waiting_) = root * error;
    ++waiting_;
  }

  void flush(NormalEquations<Scalar>& sums) {
    if (waiting_ == 0) return;  // a rank update of no rows divides by zero inside Eigen
    const auto rows = rows_.topRows(waiting_);
    sums.JtJ.template selfadjointView<Eigen::Lower>().rankUpdate(rows.transpose());
    sums.Jtr.noalias() += rows.transpose() * errors_.head(waiting_);
    waiting_ = 0;
  }

  const cells::Elman<Scalar>& cell_;
  const Readout<Scalar>& readout_;
  ParameterLayout at_;
  Index capacity_;
  Index waiting_ = 0;
  RowMatrix<Scalar> S_, next_, rows_;
  Vector<Scalar> errors_;
  RowMatrix<Scalar> VS_;
  Row h_, h_next_, x_, y_;
};

/// Normal equations of the mean loss over all series, the same for any number of threads.
template <class Scalar>
NormalEquations<Scalar> gauss_newton(const cells::Elman<Scalar>& cell, const Readout<Scalar>& readout,
                                     const Inputs<Scalar>& in, const Targets<Scalar>& targets, bool learns_start,
                                     int threads, Interrupt& stop) {
  const ParameterLayout at(cell.hidden(), cell.inputs(), readout.outputs(), readout.direct(), learns_start);
  const Index chunks = std::min(in.series, detail::max_chunks);
  std::vector<NormalEquations<Scalar>> parts(static_cast<std::size_t>(chunks));
  for (NormalEquations<Scalar>& part : parts) part.clear(at.size);
  threads = useful_threads(threads, static_cast<double>(at.size) * detail::operations(cell, readout, in));
  std::vector<Sensitivities<Scalar>> own;
  for (Index worker = 0; worker < worker_count(chunks, 1, threads); ++worker)
    own.emplace_back(cell, readout, learns_start);
  parallel_chunks(chunks, 1, threads, stop, [&](Index chunk, Index, Index worker) {
    for (Index n = in.series * chunk / chunks; n < in.series * (chunk + 1) / chunks; ++n)
      own[static_cast<std::size_t>(worker)].add_series(in, targets, n, parts[static_cast<std::size_t>(chunk)], stop);
  });
  NormalEquations<Scalar> total = std::move(parts.front());
  for (std::size_t c = 1; c < parts.size(); ++c) total.add(parts[c]);
  total.mean();
  return total;
}

}  // namespace kelman::rnn
