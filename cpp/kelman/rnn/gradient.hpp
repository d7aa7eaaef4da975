// SPDX-License-Identifier: BSD-3-Clause
// Back-propagation through time: of a squared error, or of given gradients of outputs and states.
//
//     loss = sum_{n,k,j} w_{nkj} (y_{nkj} - target_{nkj})^2 / sum w
// w is the mask (1 without one), and 0 in the warm-up, past a series' length, and where the target is NaN. Where an
// input is not finite, neither is the gradient of W, whatever the activation makes of it: even 0 times it is not.
//
// A block goes forward and keeps its tape, then back; the tape of a long series is kept for one segment at a time, and
// made again from the state before the segment. Errors of some steps are collected, and weight gradients added for all
// of them at once: sums over steps and lanes in the scalar, beyond that in double. Partial sums of chunks of blocks are
// added in order: the same bits for any number of threads.
// Reference: Werbos, Proc. IEEE 78 (1990).
#pragma once

#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

/// What the outputs are compared with.
template <class S>
struct Targets {
  Field<const S> y;     // (N,T,o), NaN = not counted
  Field<const S> mask;  // (N,T,mask_columns)
  Index mask_columns;   // 0: no mask; 1: one weight per step; o: one per number
  Index warmup;         // steps at the beginning that are not counted
};

/// Given gradients, any of which may be null.
template <class S>
struct Upstream {
  Field<const S> y;  // (N,T,o)
  Field<const S> h;  // (N,T,h)
  Field<const S> c;  // (N,1,state - h): of what the cell carries beyond h after the last step of each series
};

/// Gradients by series, any of which may be null but h0.
template <class S>
struct SeriesGradients {
  Field<S> h0;  // (N,1,h)
  Field<S> c0;  // (N,1,state - h)
  Field<S> x;   // (N,T,i)
};

/// Sums over all series. The gradient is that of the mean loss, or of what was given.
struct LossSums {
  double loss = 0;               // sum w e^2, then the mean
  double weight = 0;             // sum w
  std::vector<double> gradient;  // cell's weights, then readout's

  void add(const LossSums& other) {
    loss += other.loss;
    weight += other.weight;
    for (std::size_t p = 0; p < gradient.size(); ++p) gradient[p] += other.gradient[p];
  }
};

namespace detail {

inline constexpr Index tape_bytes = Index(1) << 25;   // of one segment
inline constexpr Index chunk_bytes = Index(1) << 23;  // of what a weight gradient is added from at once
inline constexpr Index most_chunk_steps = 1024 / register_bytes;

}  // namespace detail

/// Back-propagation through one block after another, with one workspace.
template <class S>
class BlockGradient {
 public:
  /// Of `targets`, or of `upstream`: the other is null.
  BlockGradient(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in, const Targets<S>* targets,
                const Upstream<S>* upstream, const SeriesGradients<S>& out, Index packs, Interrupt& stop)
      : cell_(cell),
        readout_(readout),
        in_(in),
        targets_(targets),
        upstream_(upstream),
        out_(out),
        stop_(stop),
        packs_(packs),
        panel_step_(step_of<S>(cell.inputs() + 1 + cell.tape(), packs)),
        x_step_(step_of<S>(cell.inputs(), packs)),
        y_step_(step_of<S>(readout.outputs(), packs)),
        error_step_(step_of<S>(cell.seeds(), packs)),
        state_step_(step_of<S>(cell.state(), packs)),
        state_numbers_(cell.state() * packs * register_lanes<S>),
        tape_at_((cell.inputs() + 1) * packs * register_lanes<S>),
        chunk_(chunk_of(2 * (panel_step_ + y_step_ + error_step_), in.steps)),
        segment_(segment_of(panel_step_ + y_step_, in.steps)),
        segments_((in.steps + segment_ - 1) / segment_),
        panels_(take((segment_ + 1) * panel_step_)),
        y_(take(segment_ * y_step_)),
        errors_(take(chunk_ * error_step_)),
        carried_(take(state_numbers_)),
        starts_(take(segments_ * state_numbers_)),
        given_(take(std::max(chunk_, detail::chunk_steps) * std::max({y_step_, x_step_, state_step_}))),
        mask_(take(std::max(chunk_, detail::chunk_steps) * y_step_)) {
    const Index lanes = packs * register_lanes<S>;
    for (Index k = 0; k <= segment_; ++k) std::copy_n(ones<S>.data(), lanes, tape(k) - lanes);
  }

  /// Adds loss, weight and gradients of the block that begins with this series; gradients by series are written.
  void add(Index first, LossSums& sums) {
    const Group<S> group(in_, first, packs_);
    gather_start(cell_, in_, group, starts_);
    for (Index s = 0; s + 1 < segments_; ++s) {
      sweep_to_end(group, s, nullptr);
      std::copy_n(tape(segment_), state_numbers_, starts_ + (s + 1) * state_numbers_);
    }
    std::fill_n(carried_, state_numbers_, S(0));
    for (Index s = segments_; s-- > 0;) {
      sweep_to_end(group, s, &sums);
      if (stop_.requested()) return;
      sweep_back(group, s, sums);
    }
    group.scatter_used(carried_, 0, cell_.hidden(), 0, 1, out_.h0);
    const Index rest = cell_.state() - cell_.hidden();
    if (out_.c0) group.scatter_used(carried_ + cell_.hidden() * group.lanes(), 0, rest, 0, 1, out_.c0);
    if (out_.x) group.fill_past_end(out_.x, cell_.inputs(), in_.steps, S(0));
  }

 private:
  using V = Register<S>;

  /// Chunks of equal length, or the last one would pay for its sums with few steps.
  static Index chunk_of(Index numbers_per_step, Index steps) {
    const Index fitting = detail::chunk_bytes / static_cast<Index>(sizeof(S)) / std::max<Index>(1, numbers_per_step);
    const Index most = std::clamp<Index>(fitting, 4, detail::most_chunk_steps);
    const Index chunks = std::max<Index>(1, (steps + most - 1) / most);
    return std::max<Index>(1, (steps + chunks - 1) / chunks);
  }
  Index segment_of(Index numbers_per_step, Index steps) const {
    const Index fitting = detail::tape_bytes / static_cast<Index>(sizeof(S)) / numbers_per_step / chunk_ * chunk_;
    return std::max<Index>(1, std::min(steps, std::max(chunk_, fitting)));
  }
  Index steps_of(Index segment) const { return std::min(segment_, in_.steps - segment * segment_); }
  S* take(Index numbers) { return memory_.take<S>(numbers, true); }
  /// A panel holds the input of a step, a row of ones, and the tape of the step before.
  S* x(Index k) { return panels_ + k * panel_step_; }
  S* tape(Index k) { return x(k) + tape_at_; }

  /// Through one segment from the state before it, with tape, inputs and outputs kept; with `sums`, the loss is added,
  /// and outputs become its gradient.
  void sweep_to_end(const Group<S>& group, Index segment, LossSums* sums) {
    const Index begin = segment * segment_, steps = steps_of(segment);
    std::copy_n(starts_ + segment * state_numbers_, state_numbers_, tape(0));
    for (Index first = 0; first < steps; first += detail::chunk_steps) {
      if (first % detail::steps_between_checks == 0 && stop_.check()) return;
      const Index end = std::min(first + detail::chunk_steps, steps);
      gather_inputs(cell_, in_, group, begin + first, end - first, x(first), panel_step_);
      for (Index k = first; k < end; ++k) {
        run_step(cell_, group, begin + k, tape(k), x(k), tape(k + 1));
        readout_.forward(tape(k + 1), x(k), y_ + k * y_step_, packs_);
      }
      if (sums != nullptr && targets_ != nullptr) to_loss(group, begin, first, end - first, *sums);
    }
  }

  void sweep_back(const Group<S>& group, Index segment, LossSums& sums) {
    const Index begin = segment * segment_, lanes = group.lanes();
    for (Index end = steps_of(segment); end > 0;) {
      if (stop_.check()) return;
      const Index first = (end - 1) / chunk_ * chunk_, steps = end - first;
      if (upstream_ != nullptr) to_given(group, begin, first, steps);
      for (Index k = steps; k-- > 0;) {
        const Index at = first + k;
        if (k + 1 == steps || !readout_.there()) readout_.backward(y_ + at * y_step_, carried_, packs_);
        if (upstream_ != nullptr) add_to_state(group, begin + at, given_ + k * state_step_);
        // the readout of the step before goes with the cell
        const bool joined = k > 0 && readout_.there();
        cell_.backward(tape(at), tape(at + 1), carried_, errors_ + k * error_step_, packs_,
                       joined ? readout_.backward_term(y_ + (at - 1) * y_step_) : readout_.no_term());
      }
      const auto rows = [&](const S* data) { return Rows<S>{data, panel_step_}; };
      double* const gradient = sums.gradient.data();
      cell_.add_gradient({rows(x(first)),
                          rows(tape(first) - lanes),
                          rows(tape(first)),
                          rows(tape(first + 1)),
                          {errors_, error_step_},
                          steps,
                          packs_},
                         gradient);
      readout_.add_gradient({y_ + first * y_step_, y_step_}, rows(tape(first + 1) - lanes), rows(x(first)), steps,
                            packs_, gradient + cell_.weights());
      if (out_.x) to_inputs(group, begin, first, steps);
      end = first;
    }
  }

  /// y <- 2 w (y - target) sigma'(.) for some steps, and the loss.
  void to_loss(const Group<S>& group, Index begin, Index first, Index steps, LossSums& sums) {
    const Index outputs = readout_.outputs(), lanes = group.lanes(), columns = targets_->mask_columns;
    const bool linear = readout_.activation() == activation_of<Identity>;
    const bool plain = columns == 0 && begin + first >= targets_->warmup && group.all_run(begin + first + steps - 1);
    group.gather(targets_->y, outputs, begin + first, steps, given_, y_step_);
    if (columns > 0) group.gather(targets_->mask, columns, begin + first, steps, mask_, y_step_);
    std::array<S, static_cast<std::size_t>(Group<S>::most)> runs;
    V loss(S(0)), weights(S(0));
    const auto add = [&](S* y, S* target, const V& given_weight) {
      const V wanted = load<V>(target), got = load<V>(y);
      const auto counts = (wanted == wanted) & (given_weight > V(S(0)));
      const V weight = select(counts, given_weight, V(S(0))), error = select(counts, got - wanted, V(S(0)));
      const V half = weight * error;
      loss = fused(half, error, loss);
      weights += weight;
      store(linear ? y : target, select(counts, half + half, V(S(0))));
      if (!linear) store(y, select(counts, got, V(S(0))));
    };
    for (Index k = 0; k < steps; ++k) {
      S *const y = y_ + (first + k) * y_step_, *const target = given_ + k * y_step_;
      if (plain) {
        for (Index at = 0; at < outputs * lanes; at += kelman::lanes<V>) add(y + at, target + at, V(S(1)));
        continue;
      }
      const bool counted = begin + first + k >= targets_->warmup;
      group.running(begin + first + k, true, runs.data());
      for (Index at = 0; at < outputs * lanes; at += kelman::lanes<V>) {
        const Index lane = at % lanes;
        V weight = load<V>(runs.data() + lane) * V(S(counted ? 1 : 0));
        if (columns > 0)
          weight = select(weight > V(S(0)), load<V>(mask_ + k * y_step_ + (columns == 1 ? lane : at)), V(S(0)));
        add(y + at, target + at, weight);
      }
    }
    for (int l = 0; l < kelman::lanes<V>; ++l) {
      sums.loss += static_cast<double>(lane(loss, l));
      sums.weight += static_cast<double>(lane(weights, l));
    }
    for (Index k = 0; !linear && k < steps; ++k) {
      S* const y = y_ + (first + k) * y_step_;
      const S* const g = given_ + k * y_step_;
      times_slope<S>(readout_.activation(), y, g, y, outputs * lanes);
    }
  }

  /// y <- given gradient of y, times sigma'(.); the given gradient of the states is kept beside. Zero where none
  /// counts.
  void to_given(const Group<S>& group, Index begin, Index first, Index steps) {
    const Index outputs = readout_.outputs(), numbers = outputs * group.lanes();
    std::array<S, static_cast<std::size_t>(Group<S>::most)> runs;
    if (upstream_->y) group.gather(upstream_->y, outputs, begin + first, steps, mask_, y_step_);
    if (upstream_->h) group.gather(upstream_->h, cell_.hidden(), begin + first, steps, given_, state_step_);
    for (Index k = 0; k < steps; ++k) {
      S* const y = y_ + (first + k) * y_step_;
      group.running(begin + first + k, true, runs.data());
      if (upstream_->y) {
        S* const g = mask_ + k * y_step_;
        group.silence(g, outputs, runs.data());
        times_slope<S>(readout_.activation(), y, g, y, numbers);
      } else {
        std::fill_n(y, numbers, S(0));
      }
      if (upstream_->h) group.silence(given_ + k * state_step_, cell_.hidden(), runs.data());
    }
  }

  void add_to_state(const Group<S>& group, Index k, const S* given) {
    const Index lanes = group.lanes(), hidden = cell_.hidden();
    if (upstream_->h)
      each_pack(
          hidden * lanes, [](const auto& a, const auto& b) { return a + b; }, carried_, static_cast<const S*>(carried_),
          given);
    if (!upstream_->c) return;
    for (Index l = 0; l < group.used(); ++l) {
      if (k + 1 != group.length(l)) continue;
      const S* row = upstream_->c.at(group.series(l), 0);
      for (Index j = 0; j < cell_.state() - hidden; ++j) carried_[(hidden + j) * lanes + l] += row[j];
    }
  }

  void to_inputs(const Group<S>& group, Index begin, Index first, Index steps) {
    for (Index k = 0; k < steps; ++k) {
      cell_.input_gradient(errors_ + k * error_step_, given_ + k * x_step_, packs_);
      readout_.add_input_gradient(y_ + (first + k) * y_step_, given_ + k * x_step_, packs_);
    }
    // copies of the last series have no error: only lanes that count are written
    group.scatter_used(given_, x_step_, cell_.inputs(), begin + first, steps, out_.x);
  }

  const Cell<S>& cell_;
  const Readout<S>& readout_;
  const Inputs<S>& in_;
  const Targets<S>* targets_;
  const Upstream<S>* upstream_;
  const SeriesGradients<S>& out_;
  Interrupt& stop_;
  Index packs_, panel_step_, x_step_, y_step_, error_step_, state_step_, state_numbers_, tape_at_, chunk_, segment_,
      segments_;
  Workspace memory_;
  S *panels_, *y_, *errors_, *carried_, *starts_, *given_, *mask_;
};

namespace detail {

template <class S>
LossSums back_propagate(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in, const Targets<S>* targets,
                        const Upstream<S>* upstream, const SeriesGradients<S>& out, int threads, Interrupt& stop) {
  const Cut<S> cut(in.series);
  std::vector<LossSums> parts(static_cast<std::size_t>(cut.chunks));
  for (LossSums& part : parts) part.gradient.assign(static_cast<std::size_t>(cell.weights() + readout.weights()), 0.0);
  threads = useful_threads(threads, 3 * operations(cell, readout, in));
  PerWorker<BlockGradient<S>> workers(worker_count(cut.chunks, 1, threads));
  parallel_chunks(cut.chunks, 1, threads, stop, [&](Index chunk, Index, Index worker) {
    BlockGradient<S>& own = workers.of(worker, cell, readout, in, targets, upstream, out, cut.packs, stop);
    for (Index block = cut.first_block(chunk); block < cut.first_block(chunk + 1); ++block)
      own.add(block * cut.lanes, parts[static_cast<std::size_t>(chunk)]);
  });
  LossSums total = std::move(parts.front());
  for (std::size_t c = 1; c < parts.size(); ++c) total.add(parts[c]);
  return total;
}

}  // namespace detail

/// Mean loss and its gradient.
template <class S>
LossSums loss_and_gradient(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in,
                           const Targets<S>& targets, const SeriesGradients<S>& out, int threads, Interrupt& stop) {
  LossSums total = detail::back_propagate<S>(cell, readout, in, &targets, nullptr, out, threads, stop);
  const double scale = 1.0 / total.weight;
  total.loss *= scale;
  for (double& g : total.gradient) g *= scale;
  const auto scaled = [&](const Field<S>& field, Index columns) {
    for (Index n = 0; field && n < in.series; ++n)
      for (Index j = 0; j < columns; ++j) field.at(n, 0)[j] *= static_cast<S>(scale);
  };
  scaled(out.h0, cell.hidden());
  scaled(out.c0, cell.state() - cell.hidden());
  return total;
}

/// Gradient of sum(g_y . y) + sum(g_h . h) + sum(g_c . c_last) for given g.
template <class S>
LossSums vector_jacobian(const Cell<S>& cell, const Readout<S>& readout, const Inputs<S>& in,
                         const Upstream<S>& upstream, const SeriesGradients<S>& out, int threads, Interrupt& stop) {
  return detail::back_propagate<S>(cell, readout, in, nullptr, &upstream, out, threads, stop);
}

}  // namespace kelman::rnn
