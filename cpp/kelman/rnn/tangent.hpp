// SPDX-License-Identifier: BSD-3-Clause
// Directional derivatives of outputs and states, forward along with the network: along directions of the weights, the
// start and the inputs.
#pragma once

#include <limits>

#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

/// A direction. Cell and readout have the direction's numbers as weights; null fields and pointers are no direction.
template <class S>
struct Direction {
  const Cell<S>* cell;
  const Readout<S>* readout;
  Field<const S> x;   // (N,T,i)
  Field<const S> h0;  // (N,1,h)
  Field<const S> c0;  // (N,1,state - h)
};

/// Results: directional derivatives; NaN past the end of a series.
template <class S>
struct Tangents {
  Field<S> y, h, c;  // (N,T,o), (N,T,h), (N,T,state - h) or null
};

template <class S>
class BlockTangent {
 public:
  BlockTangent(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in, const Direction<S>& along,
               const Tangents<S>& out, Index packs, Interrupt& stop)
      : cell_(cell),
        readout_(readout),
        in_(in),
        along_(along),
        out_(out),
        stop_(stop),
        packs_(packs),
        tape_step_(step_of<S>(cell.tape(), packs)),
        x_step_(step_of<S>(cell.inputs(), packs)),
        y_step_(step_of<S>(readout.outputs(), packs)),
        tape_(memory_.take<S>(2 * tape_step_)),
        dot_(memory_.take<S>((detail::chunk_steps + 1) * tape_step_)),
        x_(memory_.take<S>(detail::chunk_steps * x_step_)),
        x_dot_(memory_.take<S>(detail::chunk_steps * x_step_)),
        y_(memory_.take<S>(y_step_)),
        y_dot_(memory_.take<S>(detail::chunk_steps * y_step_)),
        seed_(memory_.take<S>(step_of<S>(cell.seeds(), packs))) {}

  void run(Index first) {
    const Group<S> group(in_, first, packs_);
    const Index hidden = cell_.hidden(), lanes = group.lanes(), rest = cell_.state() - hidden;
    S *previous = tape_, *now = tape_ + tape_step_;
    gather_start(cell_, in_, group, previous);
    std::fill_n(dot_, cell_.state() * lanes, S(0));
    if (along_.h0) group.gather(along_.h0, hidden, 0, 1, dot_, 0);
    if (along_.c0) group.gather(along_.c0, rest, 0, 1, dot_ + hidden * lanes, 0);
    for (Index begin = 0; begin < in_.steps; begin += detail::chunk_steps) {
      if (stop_.check()) return;
      const Index steps = std::min(detail::chunk_steps, in_.steps - begin);
      gather_inputs(cell_, in_, group, begin, steps, x_, x_step_);
      if (along_.x) group.gather(along_.x, cell_.inputs(), begin, steps, x_dot_, x_step_);
      for (Index k = 0; k < steps; ++k) {
        const S* const x = x_ + k * x_step_;
        const S* const x_dot = along_.x ? x_dot_ + k * x_step_ : nullptr;
        S *const dot = dot_ + k * tape_step_, *const dot_now = dot + tape_step_;
        run_step(cell_, group, begin + k, previous, x, now);
        if (along_.cell != nullptr) cell_.seed_along(*along_.cell, previous, x, now, seed_, packs_);
        cell_.tangent(seed_, previous, dot, x_dot, now, dot_now, packs_);
        readout_.forward(now, x, y_, packs_);
        readout_.tangent(along_.readout, now, dot_now, x, x_dot, y_, y_dot_ + k * y_step_, packs_);
        std::swap(previous, now);
      }
      group.scatter(y_dot_, y_step_, readout_.outputs(), begin, steps, out_.y);
      group.scatter(dot_ + tape_step_, tape_step_, hidden, begin, steps, out_.h);
      if (out_.c) group.scatter(dot_ + tape_step_ + hidden * lanes, tape_step_, rest, begin, steps, out_.c);
      std::copy_n(dot_ + steps * tape_step_, cell_.state() * lanes, dot_);
    }
    constexpr S nan = std::numeric_limits<S>::quiet_NaN();
    group.fill_past_end(out_.y, readout_.outputs(), in_.steps, nan);
    group.fill_past_end(out_.h, hidden, in_.steps, nan);
    if (out_.c) group.fill_past_end(out_.c, rest, in_.steps, nan);
  }

 private:
  const Cell<S>& cell_;
  const Readout<S>& readout_;
  const Inputs<S>& in_;
  const Direction<S>& along_;
  const Tangents<S>& out_;
  Interrupt& stop_;
  Index packs_, tape_step_, x_step_, y_step_;
  Workspace memory_;
  S *tape_, *dot_, *x_, *x_dot_, *y_, *y_dot_, *seed_;
};

/// Directional derivatives of all series.
template <class S>
void jacobian_vector(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in, const Direction<S>& along,
                     const Tangents<S>& out, int threads, Interrupt& stop) {
  const detail::Cut<S> cut(in.series);
  threads = useful_threads(threads, 3 * detail::operations(cell, readout, in));
  PerWorker<BlockTangent<S>> workers(worker_count(cut.blocks, 1, threads));
  parallel_chunks(cut.blocks, 1, threads, stop, [&](Index block, Index, Index worker) {
    workers.of(worker, cell, readout, in, along, out, cut.packs, stop).run(block * cut.lanes);
  });
}

}  // namespace kelman::rnn
