// SPDX-License-Identifier: BSD-3-Clause
// A cell driven over sequences: forward, and the gradient of a loss by back-propagation through time.
//
//     h_k = cell(h_{k-1}, x_k),  y_k = readout(h_k, x_k)                    k = 1..T, for each of N series
//     loss = sum_{n,k,j} w_{nkj} (y_{nkj} - target_{nkj})^2 / sum w
// w is the mask (1 without one), and 0 in the warm-up, past a series' length, and where the target is NaN.
//
// Series are cut into blocks of up to 32 lanes, and blocks into at most 32 chunks; a chunk adds its own partial sums,
// and the partial sums are added in order. The cut depends on sizes only, so the result is the same for any number of
// threads. Weight gradients are summed in the scalar over 64 steps, and beyond that in double. Shapes: x (N,T,i), h0
// (N,h), y and target (N,T,o), mask (N,T,1) or (N,T,o), h (N,T,h).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "kelman/core/field.hpp"
#include "kelman/core/parallel.hpp"
#include "kelman/core/status.hpp"
#include "kelman/rnn/cell.hpp"
#include "kelman/rnn/readout.hpp"

namespace kelman::rnn {

/// What drives the cell. A stride of zero means the same for all.
template <class Scalar>
struct Inputs {
  Index series;
  Index steps;
  Field<const Scalar> x;        // (N,T,i)
  Field<const Scalar> h0;       // (N,1,h)
  const std::int64_t* lengths;  // (N), or null: all steps

  Index length(Index n) const { return lengths ? std::min(static_cast<Index>(lengths[n]), steps) : steps; }
};

/// What the outputs are compared with.
template <class Scalar>
struct Targets {
  Field<const Scalar> y;     // (N,T,o), NaN = not counted
  Field<const Scalar> mask;  // (N,T,mask_columns)
  Index mask_columns;        // 0: no mask; 1: one weight per step; o: one per number
  Index warmup;              // steps at the beginning that are not counted

  /// Weight and error of one number.
  std::pair<Scalar, Scalar> weighted_error(Index n, Index k, Index j, Scalar predicted) const {
    const Scalar target = y.at(n, k)[j];
    Scalar weight = k < warmup || std::isnan(target) ? Scalar(0) : Scalar(1);
    if (mask_columns > 0 && weight > Scalar(0)) weight = mask.at(n, k)[mask_columns == 1 ? 0 : j];
    return {weight, weight > Scalar(0) ? predicted - target : Scalar(0)};
  }
};

/// Results of a forward pass, and per series whether and when a number stopped being finite.
template <class Scalar>
struct Outputs {
  Field<Scalar> y;          // (N,T,o)
  Field<Scalar> h;          // (N,T,h)
  std::int32_t* status;     // (N)
  std::int64_t* failed_at;  // (N)
};

/// Sums over all series. The gradient is that of the mean loss.
struct LossSums {
  double loss = 0;               // sum w e^2, then the mean
  double weight = 0;             // sum w
  std::vector<double> gradient;  // cell's weights, then readout's
};

namespace detail {

constexpr Index max_lanes = 32;
constexpr Index max_chunks = 32;
constexpr Index steps_in_scalar = 64;
constexpr Index steps_between_checks = 256;
constexpr Index tape_numbers = Index(1) << 24;  // per block: long series are taken fewer at a time

/// Floating-point operations of one forward pass, roughly.
template <class C, class Out>
double operations(const C& cell, const Out& readout, const Inputs<typename C::Scalar>& in) {
  const Index per_step = 2 * cell.tape() * (cell.hidden() + cell.inputs() + 4) + 2 * readout.V.size() + 20;
  return static_cast<double>(in.series) * static_cast<double>(in.steps) * static_cast<double>(per_step);
}

/// How N series are cut into blocks and chunks: by sizes only.
struct Cut {
  Index series, lanes, blocks, chunks;

  Cut(Index n, Index numbers_per_series) : series(n) {
    const Index fitting = std::max<Index>(1, tape_numbers / std::max<Index>(1, numbers_per_series));
    lanes = std::max<Index>(1, std::min({n, max_lanes, fitting}));
    blocks = (n + lanes - 1) / lanes;
    chunks = std::max<Index>(1, std::min(blocks, max_chunks));
  }
  Index first_block(Index chunk) const { return blocks * chunk / chunks; }
  Index first(Index block) const { return block * lanes; }
  Index width(Index block) const { return std::min(lanes, series - block * lanes); }
};

/// Inputs of one step, lanes side by side; zeros where a series has ended.
template <class Scalar>
void gather_inputs(const Inputs<Scalar>& in, Index first, Index k, Block<Scalar> x) {
  for (Index l = 0; l < x.rows(); ++l) {
    const Scalar* row = in.x.at(first + l, k);
    const bool runs = k < in.length(first + l);
    for (Index j = 0; j < x.cols(); ++j) x(l, j) = runs ? row[j] : Scalar(0);
  }
}

/// The state before the first step; what a gated cell carries beyond h starts at zero.
template <class Scalar>
void gather_start(const Inputs<Scalar>& in, Index first, Index hidden, Block<Scalar> state) {
  state.setZero();
  for (Index l = 0; l < state.rows(); ++l)
    for (Index j = 0; j < hidden; ++j) state(l, j) = in.h0.at(first + l, 0)[j];
}

/// Zeroes the tape of series that have ended, so that whatever they would have done stays out of the sums.
template <class Scalar>
void silence_ended(const Inputs<Scalar>& in, Index first, Index k, Block<Scalar> tape) {
  if (!in.lengths) return;
  for (Index l = 0; l < tape.rows(); ++l)
    if (k >= in.length(first + l)) tape.row(l).setZero();
}

/// One row of results from one lane; NaN where the series has ended. False if a number is not finite.
template <class Scalar, class Lane>
bool scatter(const Lane& from, bool runs, Scalar* to) {
  bool finite = true;
  for (Index j = 0; j < from.size(); ++j) {
    to[j] = runs ? from(j) : std::numeric_limits<Scalar>::quiet_NaN();
    finite = finite && std::isfinite(from(j));
  }
  return finite || !runs;
}

}  // namespace detail

/// Forward pass of one block of series, results written as it goes.
template <Cell C>
void forward_block(const C& cell, const Readout<typename C::Scalar>& readout, const Inputs<typename C::Scalar>& in,
                   const Outputs<typename C::Scalar>& out, Index first, Index lanes, typename C::Scalar* work,
                   Interrupt& stop) {
  using Scalar = typename C::Scalar;
  const Index tape = cell.tape(), inputs = cell.inputs(), outputs = readout.outputs();
  Scalar* previous = work;
  Scalar* now = previous + lanes * tape;
  Block<Scalar> x(now + lanes * tape, lanes, inputs), y(x.data() + x.size(), lanes, outputs);

  detail::gather_start(in, first, cell.hidden(), Block<Scalar>(previous, lanes, cell.state()));
  for (Index k = 0; k < in.steps; ++k) {
    if (k % detail::steps_between_checks == 0 && stop.check()) return;
    detail::gather_inputs(in, first, k, x);
    const ConstBlock<Scalar> x_now(x.data(), lanes, inputs);
    cell.forward(ConstBlock<Scalar>(previous, lanes, cell.state()), x_now, Block<Scalar>(now, lanes, tape));
    detail::silence_ended(in, first, k, Block<Scalar>(now, lanes, tape));
    const ConstBlock<Scalar> h(now, lanes, cell.hidden());
    readout.forward(h, x_now, y);
    for (Index l = 0; l < lanes; ++l) {
      const Index n = first + l;
      const bool runs = k < in.length(n);
      const bool h_finite = detail::scatter<Scalar>(h.row(l), runs, out.h.at(n, k));
      const bool y_finite = detail::scatter<Scalar>(y.row(l), runs, out.y.at(n, k));
      if (!(h_finite && y_finite) && out.status[n] == 0) {
        out.status[n] = static_cast<std::int32_t>(Status::non_finite);
        out.failed_at[n] = k;
      }
    }
    std::swap(previous, now);
  }
}

/// Forward pass of all series.
template <Cell C>
void forward(const C& cell, const Readout<typename C::Scalar>& readout, const Inputs<typename C::Scalar>& in,
             const Outputs<typename C::Scalar>& out, int threads, Interrupt& stop) {
  using Scalar = typename C::Scalar;
  std::fill_n(out.status, in.series, 0);
  std::fill_n(out.failed_at, in.series, std::int64_t(-1));
  const detail::Cut cut(in.series, 1);
  threads = useful_threads(threads, detail::operations(cell, readout, in));
  const Index workers = worker_count(cut.blocks, 1, threads);
  const Index size = cut.lanes * (2 * cell.tape() + cell.inputs() + readout.outputs());
  std::vector<std::vector<Scalar>> work(static_cast<std::size_t>(workers));
  for (auto& own : work) own.resize(static_cast<std::size_t>(size));
  parallel_chunks(cut.blocks, 1, threads, stop, [&](Index block, Index, Index worker) {
    forward_block(cell, readout, in, out, cut.first(block), cut.width(block),
                  work[static_cast<std::size_t>(worker)].data(), stop);
  });
}

/// Back-propagation through one block: a forward sweep that keeps the tape and the output errors, then the way back.
template <Cell C>
class BlockGradient {
 public:
  using Scalar = typename C::Scalar;

  BlockGradient(const C& cell, const Readout<Scalar>& readout, const Inputs<Scalar>& in, const Targets<Scalar>& targets,
                Index max_lanes, Interrupt& stop)
      : cell_(cell),
        readout_(readout),
        in_(in),
        targets_(targets),
        stop_(stop),
        cell_size_(C::Gradient::size(cell)),
        size_(cell_size_ + Readout<Scalar>::Gradient::size(readout)),
        sums_(static_cast<std::size_t>(size_)),
        start_(static_cast<std::size_t>(max_lanes * cell.state())),
        tape_(static_cast<std::size_t>(max_lanes * in.steps * cell.tape())),
        errors_(static_cast<std::size_t>(max_lanes * in.steps * readout.outputs())),
        x_(static_cast<std::size_t>(max_lanes * cell.inputs())),
        carried_(static_cast<std::size_t>(max_lanes * cell.state())),
        scratch_(static_cast<std::size_t>(max_lanes * C::Gradient::scratch_columns(cell))) {}

  /// Adds loss, weight and gradient of sum w e^2 over the series first .. first + lanes - 1; h0_gradient (N,1,h) is
  /// written.
  void add(Index first, Index lanes, LossSums& sums, const Field<Scalar>& h0_gradient) {
    sweep_forward(first, lanes, sums);
    if (stop_.requested()) return;
    sweep_back(first, lanes, sums);
    const Block<Scalar> carried(carried_.data(), lanes, cell_.state());
    for (Index l = 0; l < lanes; ++l)
      for (Index j = 0; j < cell_.hidden(); ++j) h0_gradient.at(first + l, 0)[j] = carried(l, j);
  }

 private:
  ConstBlock<Scalar> state_before(Index k, Index lanes) const {
    return {k == 0 ? start_.data() : tape_.data() + (k - 1) * lanes * cell_.tape(), lanes, cell_.state()};
  }
  Block<Scalar> tape_row(Index k, Index lanes) {
    return {tape_.data() + k * lanes * cell_.tape(), lanes, cell_.tape()};
  }
  Block<Scalar> error_row(Index k, Index lanes) {
    return {errors_.data() + k * lanes * readout_.outputs(), lanes, readout_.outputs()};
  }

  void sweep_forward(Index first, Index lanes, LossSums& sums) {
    detail::gather_start(in_, first, cell_.hidden(), Block<Scalar>(start_.data(), lanes, cell_.state()));
    Block<Scalar> x(x_.data(), lanes, cell_.inputs());
    for (Index k = 0; k < in_.steps; ++k) {
      if (k % detail::steps_between_checks == 0 && stop_.check()) return;
      detail::gather_inputs(in_, first, k, x);
      const ConstBlock<Scalar> x_now(x.data(), lanes, cell_.inputs());
      Block<Scalar> now = tape_row(k, lanes);
      cell_.forward(state_before(k, lanes), x_now, now);
      detail::silence_ended(in_, first, k, now);
      Block<Scalar> y = error_row(k, lanes);
      readout_.forward(ConstBlock<Scalar>(now.data(), lanes, cell_.hidden()), x_now, y);
      to_errors(first, k, y, sums);
    }
  }

  /// y <- 2 w (y - target) sigma'(.), and the loss.
  void to_errors(Index first, Index k, Block<Scalar> y, LossSums& sums) {
    const auto visit = [&](auto row) {
      for (Index l = 0; l < y.rows(); ++l) {
        const Index n = first + l;
        const bool runs = k < in_.length(n);
        for (Index j = 0; j < y.cols(); ++j) {
          const Scalar predicted = y(l, j);
          y(l, j) = Scalar(0);
          if (!runs) continue;
          const auto [weight, error] = targets_.weighted_error(n, k, j, predicted);
          if (!(weight > Scalar(0))) continue;
          sums.loss += static_cast<double>(weight) * static_cast<double>(error) * static_cast<double>(error);
          sums.weight += static_cast<double>(weight);
          y(l, j) = Scalar(2) * weight * error * row.slope(predicted);
        }
      }
    };
    with_activation(readout_.activation, visit);
  }

  void sweep_back(Index first, Index lanes, LossSums& sums) {
    typename C::Gradient cell_gradient(cell_, sums_.data(), scratch_.data(), lanes);
    typename Readout<Scalar>::Gradient readout_gradient(readout_, sums_.data() + cell_size_);
    Block<Scalar> x(x_.data(), lanes, cell_.inputs());
    Block<Scalar> carried(carried_.data(), lanes, cell_.state());
    carried.setZero();
    for (Index k = in_.steps; k-- > 0;) {
      if (k % detail::steps_between_checks == 0 && stop_.check()) return;
      detail::gather_inputs(in_, first, k, x);
      const ConstBlock<Scalar> x_now(x.data(), lanes, cell_.inputs()),
          g(error_row(k, lanes).data(), lanes, readout_.outputs()), now(tape_row(k, lanes).data(), lanes, cell_.tape());
      readout_.backward(now.leftCols(cell_.hidden()), x_now, g, Block<Scalar>(carried.data(), lanes, cell_.hidden()),
                        readout_gradient);
      cell_.backward(state_before(k, lanes), x_now, now, carried, cell_gradient);
      if (k % detail::steps_in_scalar == 0) flush(sums);
    }
  }

  void flush(LossSums& sums) {
    for (std::size_t p = 0; p < sums_.size(); ++p) sums.gradient[p] += static_cast<double>(sums_[p]);
    std::fill(sums_.begin(), sums_.end(), Scalar(0));
  }

  const C& cell_;
  const Readout<Scalar>& readout_;
  const Inputs<Scalar>& in_;
  const Targets<Scalar>& targets_;
  Interrupt& stop_;
  Index cell_size_, size_;
  std::vector<Scalar> sums_, start_, tape_, errors_, x_, carried_, scratch_;
};

/// Mean loss and its gradient; h0_gradient (N,1,h) per series.
template <Cell C>
LossSums loss_and_gradient(const C& cell, const Readout<typename C::Scalar>& readout,
                           const Inputs<typename C::Scalar>& in, const Targets<typename C::Scalar>& targets,
                           const Field<typename C::Scalar>& h0_gradient, int threads, Interrupt& stop) {
  using Scalar = typename C::Scalar;
  const Index size = C::Gradient::size(cell) + Readout<Scalar>::Gradient::size(readout);
  const detail::Cut cut(in.series, in.steps * (cell.tape() + readout.outputs()));
  std::vector<LossSums> parts(static_cast<std::size_t>(cut.chunks));
  for (LossSums& part : parts) part.gradient.assign(static_cast<std::size_t>(size), 0.0);
  threads = useful_threads(threads, 3 * detail::operations(cell, readout, in));
  std::vector<BlockGradient<C>> own;
  for (Index worker = 0; worker < worker_count(cut.chunks, 1, threads); ++worker)
    own.emplace_back(cell, readout, in, targets, cut.lanes, stop);
  parallel_chunks(cut.chunks, 1, threads, stop, [&](Index chunk, Index, Index worker) {
    LossSums& part = parts[static_cast<std::size_t>(chunk)];
    for (Index block = cut.first_block(chunk); block < cut.first_block(chunk + 1); ++block)
      own[static_cast<std::size_t>(worker)].add(cut.first(block), cut.width(block), part, h0_gradient);
  });

  LossSums total = std::move(parts.front());
  for (std::size_t c = 1; c < parts.size(); ++c) {
    total.loss += parts[c].loss;
    total.weight += parts[c].weight;
    for (std::size_t p = 0; p < total.gradient.size(); ++p) total.gradient[p] += parts[c].gradient[p];
  }
  const double scale = 1.0 / total.weight;
  total.loss *= scale;
  for (double& g : total.gradient) g *= scale;
  for (Index n = 0; n < in.series; ++n)
    for (Index j = 0; j < cell.hidden(); ++j) h0_gradient.at(n, 0)[j] *= static_cast<Scalar>(scale);
  return total;
}

}  // namespace kelman::rnn
