// SPDX-License-Identifier: BSD-3-Clause
// The forward pass: outputs and states of all series, and whether all numbers are finite.
//
//     h_k = cell(h_{k-1}, x_k),  y_k = readout(h_k, x_k)                    k = 1..T, for each of N series
//
// Some steps at a time: inputs are brought into panels, results written from them. Shapes as in sequence.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kelman/core/status.hpp"
#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

/// Results of a forward pass (null fields are not kept), and per series whether and when a number, of x too, was not
/// finite.
template <class S>
struct Outputs {
  Field<S> y;               // (N,T,o)
  Field<S> h;               // (N,T,h)
  Field<S> c;               // (N,T,state - h)
  std::int32_t* status;     // (N)
  std::int64_t* failed_at;  // (N)
};

/// Whether numbers are finite: 0 times each, added up, is 0. Several sums, so that none waits for another.
template <class S>
class FiniteCheck {
 public:
  void add(const S* numbers, Index registers) {
    Index j = 0;
    for (; j + count <= registers; j += count)
#pragma GCC unroll 4
      for (Index s = 0; s < count; ++s) sums_[s] = fused(V(S(0)), load<V>(numbers + (j + s) * lanes<V>), sums_[s]);
    for (; j < registers; ++j) sums_[0] = fused(V(S(0)), load<V>(numbers + j * lanes<V>), sums_[0]);
  }
  bool passed() const { return all(sums_[0] + sums_[1] + sums_[2] + sums_[3] == V(S(0))); }

 private:
  using V = Register<S>;
  static constexpr Index count = 4;
  V sums_[count] = {V(S(0)), V(S(0)), V(S(0)), V(S(0))};
};

/// Forward pass of one block after another with one workspace.
template <class S>
class BlockForward {
 public:
  BlockForward(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in, const Outputs<S>& out, Index packs,
               Interrupt& stop)
      : cell_(cell),
        readout_(readout),
        in_(in),
        out_(out),
        stop_(stop),
        packs_(packs),
        tape_step_(step_of<S>(cell.tape(), packs)),
        x_step_(step_of<S>(cell.inputs(), packs)),
        y_step_(step_of<S>(readout.outputs(), packs)),
        slots_(!out.h && !out.c && detail::chunk_steps * tape_step_ > few_numbers ? 2 : detail::chunk_steps),
        start_(memory_.take<S>(cell.state() * packs * register_lanes<S>, true)),
        tape_(memory_.take<S>(slots_ * tape_step_, true)),
        x_(memory_.take<S>(detail::chunk_steps * x_step_, true)),
        y_(memory_.take<S>(detail::chunk_steps * y_step_, true)) {}

  void run(Index first) {
    const Group<S> group(in_, first, packs_);
    const Index lanes = group.lanes(), hidden = cell_.hidden();
    S* previous = start_;
    gather_start(cell_, in_, group, previous);
    for (Index begin = 0; begin < in_.steps; begin += detail::chunk_steps) {
      if (begin % detail::steps_between_checks == 0 && stop_.check()) return;
      const Index steps = std::min(detail::chunk_steps, in_.steps - begin);
      gather_inputs(cell_, in_, group, begin, steps, x_, x_step_);
      for (Index k = 0; k < steps; ++k) {
        S* const now = tape(k);
        run_step(cell_, group, begin + k, previous, x_ + k * x_step_, now);
        if (readout_.there()) readout_.forward(now, x_ + k * x_step_, y_ + k * y_step_, packs_);
        previous = now;  // of a full chunk the last place, which the next one does not begin with
        if (slots_ < detail::chunk_steps && !finite(k, k + 1)) report(group, begin, k, k + 1);
      }
      if (out_.y) group.scatter(y_, y_step_, readout_.outputs(), begin, steps, out_.y);
      if (out_.h) group.scatter(tape_, tape_step_, hidden, begin, steps, out_.h);
      if (out_.c) group.scatter(tape_ + hidden * lanes, tape_step_, cell_.state() - hidden, begin, steps, out_.c);
      if (slots_ == detail::chunk_steps && !finite(0, steps)) report(group, begin, 0, steps);
    }
    stream_fence();
    constexpr S nan = std::numeric_limits<S>::quiet_NaN();
    if (out_.y) group.fill_past_end(out_.y, readout_.outputs(), in_.steps, nan);
    if (out_.h) group.fill_past_end(out_.h, hidden, in_.steps, nan);
    if (out_.c) group.fill_past_end(out_.c, cell_.state() - hidden, in_.steps, nan);
  }

 private:
  /// Of a tape that stays in the first cache with all else.
  static constexpr Index few_numbers = (Index(1) << 15) / static_cast<Index>(sizeof(S));

  /// The place of step k of a chunk. States that are not kept go in turn to two places, which stay in the caches.
  S* tape(Index k) const { return tape_ + (k & (slots_ - 1)) * tape_step_; }

  /// Whether all inputs, states and outputs of some steps are finite. A sum of multiples of all of h is not finite
  /// where one of h is not: outputs that are such sums speak for h.
  bool finite(Index begin, Index end) const {
    const bool sums = readout_.there() && readout_.activation() == activation_of<Identity>;
    const Index first = (sums ? cell_.hidden() : 0) * packs_, state = cell_.state() * packs_ - first;
    FiniteCheck<S> check;
    for (Index k = begin; k < end; ++k) {
      check.add(x_ + k * x_step_, cell_.inputs() * packs_);
      if (state > 0) check.add(tape(k) + first * register_lanes<S>, state);
      if (readout_.there()) check.add(y_ + k * y_step_, readout_.outputs() * packs_);
    }
    return check.passed();
  }

  void report(const Group<S>& group, Index begin, Index first, Index end) const {
    for (Index l = 0; l < group.used(); ++l) {
      const Index n = group.series(l);
      for (Index k = first; k < end && begin + k < group.length(l) && out_.status[n] == 0; ++k) {
        const auto good = [&](const S* panel, Index rows) {
          for (Index j = 0; j < rows; ++j)
            if (!std::isfinite(panel[j * group.lanes() + l])) return false;
          return true;
        };
        if (good(x_ + k * x_step_, cell_.inputs()) && good(tape(k), cell_.state()) &&
            (!readout_.there() || good(y_ + k * y_step_, readout_.outputs())))
          continue;
        out_.status[n] = static_cast<std::int32_t>(Status::non_finite);
        out_.failed_at[n] = begin + k;
      }
    }
  }

  const Cell<S>& cell_;
  const Readout<S>& readout_;
  const Inputs<S>& in_;
  const Outputs<S>& out_;
  Interrupt& stop_;
  Index packs_, tape_step_, x_step_, y_step_, slots_;
  Workspace memory_;
  S *start_, *tape_, *x_, *y_;
};

/// Forward pass of one series after another by the step of one series alone (single.hpp): the numbers of a block, to
/// the bit. Cell and readout for one series are shared by all workers.
template <class S>
class SeriesForward {
 public:
  SeriesForward(const Cell<S>& cell, const SingleStep<S>& step, const typename Readout<S>::Single& readout,
                const Inputs<S>& in, const Outputs<S>& out, Interrupt& stop)
      : cell_(cell),
        step_(step),
        readout_(readout),
        in_(in),
        out_(out),
        stop_(stop),
        row_(padded<S>(cell.hidden())),
        state_(cell.state() / cell.hidden() * row_),
        tape_step_(cell.tape() / cell.hidden() * row_),
        y_step_(padded<S>(readout.outputs())),
        start_(memory_.take<S>(state_)),
        tape_(memory_.take<S>(detail::chunk_steps * tape_step_)),
        y_(memory_.take<S>(detail::chunk_steps * y_step_)) {}

  void run(Index n) {
    const Index hidden = cell_.hidden(), rest = cell_.state() - hidden, end = in_.length(n);
    S* previous = start_;
    std::copy_n(in_.h0.at(n, 0), hidden, previous);
    std::fill_n(previous + row_, rest, S(0));
    if (rest > 0 && in_.c0) std::copy_n(in_.c0.at(n, 0), rest, previous + row_);
    for (Index begin = 0; begin < end; begin += detail::chunk_steps) {
      if (begin % detail::steps_between_checks == 0 && stop_.check()) return;
      const Index steps = std::min(detail::chunk_steps, end - begin);
      for (Index k = 0; k < steps; ++k) {
        const S* const x = in_.x.at(n, begin + k);
        S* const now = tape_ + k * tape_step_;
        step_.forward(previous, x, now);
        if (out_.y) {
          readout_.forward(now, x, y_ + k * y_step_);
          std::copy_n(y_ + k * y_step_, readout_.outputs(), out_.y.at(n, begin + k));
        }
        if (out_.h) std::copy_n(now, hidden, out_.h.at(n, begin + k));
        if (out_.c) std::copy_n(now + row_, rest, out_.c.at(n, begin + k));
        previous = now;
      }
      for (Index k = 0; k < steps && out_.status[n] == 0; ++k) {
        if (finite(in_.x.at(n, begin + k), k)) continue;
        out_.status[n] = static_cast<std::int32_t>(Status::non_finite);
        out_.failed_at[n] = begin + k;
      }
    }
    const auto blank = [&](const Field<S>& to, Index cols) {
      for (Index k = end; to && k < in_.steps; ++k) std::fill_n(to.at(n, k), cols, std::numeric_limits<S>::quiet_NaN());
    };
    blank(out_.y, readout_.outputs());
    blank(out_.h, hidden);
    blank(out_.c, rest);
  }

 private:
  bool finite(const S* x, Index k) const {
    FiniteCheck<S> check;
    check.add(tape_ + k * tape_step_, state_ / register_lanes<S>);
    if (out_.y) check.add(y_ + k * y_step_, y_step_ / register_lanes<S>);
    bool good = check.passed();
    for (Index j = 0; j < cell_.inputs(); ++j) good = good && std::isfinite(x[j]);
    return good;
  }

  const Cell<S>& cell_;
  const SingleStep<S>& step_;
  const typename Readout<S>::Single& readout_;
  const Inputs<S>& in_;
  const Outputs<S>& out_;
  Interrupt& stop_;
  Index row_, state_, tape_step_, y_step_;
  Workspace memory_;
  S *start_, *tape_, *y_;
};

namespace detail {

/// Whether series are better taken one by one than side by side: one series, or so few that they fill an eighth of a
/// register, of a network whose units fill two, and with steps that make up for laying out the weights by columns. By
/// sizes only.
template <class S>
bool one_by_one(const Cell<S>& cell, Index series, Index steps) {
  constexpr Index lanes = register_lanes<S>;
  const bool few = series == 1 || 8 * series <= lanes;
  return few && lanes > 1 && cell.hidden() >= 2 * lanes && steps >= 16;
}

}  // namespace detail

/// Forward pass of all series.
template <class S>
void forward(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in, const Outputs<S>& out, int threads,
             Interrupt& stop) {
  std::fill_n(out.status, in.series, 0);
  std::fill_n(out.failed_at, in.series, std::int64_t(-1));
  threads = useful_threads(threads, detail::operations(cell, readout, in));
  if (detail::one_by_one(cell, in.series, in.steps)) {
    const auto step = cell.single();
    const typename Readout<S>::Single read(readout);
    PerWorker<SeriesForward<S>> workers(worker_count(in.series, 1, threads));
    return parallel_chunks(in.series, 1, threads, stop, [&](Index n, Index, Index worker) {
      workers.of(worker, cell, *step, read, in, out, stop).run(n);
    });
  }
  const detail::Cut<S> cut(in.series);
  PerWorker<BlockForward<S>> workers(worker_count(cut.blocks, 1, threads));
  parallel_chunks(cut.blocks, 1, threads, stop, [&](Index block, Index, Index worker) {
    workers.of(worker, cell, readout, in, out, cut.packs, stop).run(block * cut.lanes);
  });
}

}  // namespace kelman::rnn
