// SPDX-License-Identifier: BSD-3-Clause
// Normal equations of a network for Gauss-Newton and Levenberg-Marquardt, without ever storing the Jacobian.
//
// theta = the cell's weights (and the start) move the state, phi = [V, c, D] only the output. Forward sensitivities
// d state_k / d theta go along with the network: a panel holds one series' derivatives by L weights, and takes the
// cell's `tangent`, with the seed row that each weight moves.
//     d y_k / d theta = diag(sigma_y') V d h_k / d theta        d y_kj / d (V[j,:], c[j], D[j,:]) = sigma_y' (h_k, 1,
//     x_k)
// Rows of the Jacobian are collected for some steps and added to J'WJ, lower triangle of blocks, at once.
// Result: J'WJ / sum w, J'W e / sum w, sum w e^2 / sum w; the gradient of the mean loss is 2 J'We / sum w.
// Order of the parameters: the cell's weights, V, c, D, the start (h0, then what the cell carries beyond), each by
// rows. For multiple shooting, where every series is a segment with a start of its own, the part of each start and the
// derivatives of each last state come too (SeriesEquations), and sums are not divided. Reference: Williams and Zipser,
// Neural Computation 1 (1989) for the recursion; Ljung, System Identification, 10.3.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kelman/rnn/gradient.hpp"

namespace kelman::rnn {

/// J'WJ by rows, J'We and the loss; mean() divides by the weight and writes the full matrix.
struct NormalEquations {
  double loss = 0;
  double weight = 0;
  Index size = 0;
  std::vector<double> JtJ;  // (size, size)
  std::vector<double> Jtr;  // (size)
};

/// What each series alone says of its start and its end, by rows; P counts the weights of cell and readout.
struct SeriesEquations {
  double* start;    // (N, state, P + state): J_start' W [J, J_start]
  double* right;    // (N, state): J_start' W e
  double* end;      // (N, state): the last state
  double* end_dot;  // (N, state, P + state): its derivatives
};

namespace detail {

/// Sums of outer products of the rows of a Jacobian, in blocks of L columns: block (q, p) for p <= q.
class RowSums {
 public:
  static constexpr Index lanes = max_packs * register_lanes<double>;

  RowSums() = default;
  explicit RowSums(Index size)
      : panels_((size + lanes - 1) / lanes),
        squares_(static_cast<std::size_t>(panels_ * (panels_ + 1) / 2 * lanes * lanes)),
        right_(static_cast<std::size_t>(panels_ * lanes)) {}

  Index panels() const { return panels_; }

  /// Adds `count` rows with their errors; panel q of the rows is (count x L) at rows + q * panel_step.
  void add(const double* rows, Index panel_step, Index count, const double* errors) {
    const auto weights = Product<double>::plain(errors, 1, count);
    for (Index q = 0; q < panels_; ++q) {
      const Product<double> left(rows + q * panel_step, lanes, count, 1, lanes);
      double* const right = right_.data() + q * lanes;
      affine<double>(right, 1, max_packs, {nullptr, right}, {{&weights, rows + q * panel_step}});
      for (Index p = 0; p <= q; ++p) {
        double* const to = block(q, p);
        affine<double>(to, lanes, max_packs, {nullptr, to}, {{&left, rows + p * panel_step}});
      }
    }
  }
  void clear() {
    std::fill(squares_.begin(), squares_.end(), 0.0);
    std::fill(right_.begin(), right_.end(), 0.0);
  }
  double square(Index i, Index j) const {
    return i >= j ? block(i / lanes, j / lanes)[i % lanes * lanes + j % lanes] : square(j, i);
  }
  double right(Index i) const { return right_[static_cast<std::size_t>(i)]; }
  void add(const RowSums& other) {
    for (std::size_t k = 0; k < squares_.size(); ++k) squares_[k] += other.squares_[k];
    for (std::size_t k = 0; k < right_.size(); ++k) right_[k] += other.right_[k];
  }
  /// The matrix of the first `to.size` parameters and their right side, times `scale`.
  void write(double scale, NormalEquations& to) {
    const Index n = to.size;
    to.JtJ.resize(static_cast<std::size_t>(n * n));
    to.Jtr.resize(static_cast<std::size_t>(n));
    for (Index i = 0; i < n; ++i) {
      to.Jtr[static_cast<std::size_t>(i)] = scale * right_[static_cast<std::size_t>(i)];
      for (Index j = 0; j <= i; ++j) {
        const double value = scale * square(i, j);
        to.JtJ[static_cast<std::size_t>(i * n + j)] = to.JtJ[static_cast<std::size_t>(j * n + i)] = value;
      }
    }
  }

 private:
  double* block(Index q, Index p) { return squares_.data() + place(q, p); }
  const double* block(Index q, Index p) const { return squares_.data() + place(q, p); }
  static Index place(Index q, Index p) { return (q * (q + 1) / 2 + p) * lanes * lanes; }

  Index panels_ = 0;
  std::vector<double> squares_, right_;
};

}  // namespace detail

/// The sensitivities of one series at a time, and the rows of the Jacobian waiting to be added.
class Sensitivities {
 public:
  Sensitivities(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in,
                const Targets<double>& targets, bool learns_start)
      : cell_(cell),
        readout_(readout),
        in_(in),
        targets_(targets),
        entries_(cell.entries()),
        weights_(cell.weights()),
        start_(learns_start ? cell.state() : 0),
        size_(weights_ + readout.weights() + start_),
        panels_((weights_ + start_ + L - 1) / L),
        row_panels_((size_ + L - 1) / L),
        capacity_(std::clamp<Index>(32768 / (row_panels_ * L), 16, 256)),
        tape_step_(step_of<double>(cell.tape(), max_packs)),
        y_step_(step_of<double>(readout.outputs(), max_packs)),
        tape_(memory_.take<double>(2 * tape_step_)),
        x_(memory_.take<double>(step_of<double>(cell.inputs(), max_packs))),
        y_(memory_.take<double>(y_step_)),
        seed_step_(step_of<double>(cell.seeds(), max_packs)),
        seeds_(memory_.take<double>(panels_ * seed_step_)),
        dots_(memory_.take<double>(2 * panels_ * tape_step_)),
        y_dots_(memory_.take<double>(panels_ * y_step_)),
        rows_(memory_.take<double>(row_panels_ * capacity_ * L)),
        errors_(memory_.take<double>(capacity_)) {}

  /// Adds one series to the sums.
  void add_series(Index n, double& loss, double& weight, detail::RowSums& sums, Interrupt& stop) {
    walk(n, stop, [&](Index k, const double* now, const double* dots) {
      if (k >= targets_.warmup) add_outputs(n, k, now, dots, loss, weight, sums);
    });
    flush(sums);
  }

  /// Writes the Jacobian of one series' outputs, (length, outputs, size).
  void write_series(Index n, double* to, Interrupt& stop) {
    walk(n, stop, [&](Index, const double* now, const double* dots) {
      run_outputs(now, dots);
      for (Index j = 0; j < readout_.outputs(); ++j, to += size_, waiting_ = 0) {
        add_row(j, 1.0, 0.0, now);
        for (Index p = 0; p < size_; ++p) to[p] = rows_[p / L * capacity_ * L + p % L];
      }
    });
  }

  /// Start and end of the series that was added last, as number n; `sums` are those of this series alone.
  void write(Index n, const detail::RowSums& sums, const SeriesEquations& to) {
    const Index first = size_ - start_;
    for (Index i = 0; i < start_; ++i) {
      to.right[n * start_ + i] = sums.right(first + i);
      to.end[n * start_ + i] = last_[i * L];
      double* const row = to.start + (n * start_ + i) * size_;
      for (Index p = 0; p < size_; ++p) row[p] = sums.square(first + i, p);
      double* const dot = to.end_dot + (n * start_ + i) * size_;
      std::fill_n(dot, size_, 0.0);
      for (Index p = 0; p < weights_ + start_; ++p)
        dot[p < weights_ ? p : p - weights_ + first] = at(last_dots_, p, i, tape_step_);
    }
  }

 private:
  static constexpr Index L = detail::RowSums::lanes;

  /// Runs network and sensitivities over one series; `at_step(k, tape, sensitivities)` after each step.
  template <class F>
  void walk(Index n, Interrupt& stop, F&& at_step) {
    const auto group = Group<double>::single(in_, n, max_packs);
    double *previous = tape_, *now = tape_ + tape_step_;
    double *dots = dots_, *dots_now = dots_ + panels_ * tape_step_;
    gather_start(cell_, in_, group, previous);
    std::fill_n(dots, panels_ * tape_step_, 0.0);
    for (Index j = 0; j < start_; ++j) at(dots, weights_ + j, j, tape_step_) = 1.0;
    for (Index k = 0; k < in_.length(n); ++k) {
      if (k % 16 == 0 && stop.check()) return;
      gather_inputs(cell_, in_, group, k, 1, x_, 0);
      cell_.forward(previous, x_, now, max_packs);
      for (Index q = 0; q < panels_; ++q) {
        cell_.tangent(seed(q, previous, now), previous, dots + q * tape_step_, nullptr, now, dots_now + q * tape_step_,
                      max_packs);
      }
      at_step(k, now, dots_now);
      std::swap(previous, now);
      std::swap(dots, dots_now);
    }
    last_ = previous;
    last_dots_ = dots;
  }

  /// Number `row` of the derivative by parameter p, in panels of `step` numbers.
  static double& at(double* panels, Index p, Index row, Index step) { return panels[p / L * step + row * L + p % L]; }

  /// What the weights of one panel move: only these numbers of its seed change from step to step.
  double* seed(Index q, const double* previous, const double* now) {
    const double* const from[] = {previous, x_, now, &one_};  // in the order of Entry::Where
    double* const to = seeds_ + q * seed_step_;
    for (Index p = q * L; p < std::min(weights_, (q + 1) * L); ++p) {
      const Entry& entry = entries_[static_cast<std::size_t>(p)];
      to[entry.row * L + p % L] = from[static_cast<int>(entry.where)][entry.at * L];
    }
    return to;
  }

  void run_outputs(const double* now, const double* dots) {
    readout_.forward(now, x_, y_, max_packs);
    for (Index q = 0; q < panels_; ++q)
      readout_.tangent(nullptr, now, dots + q * tape_step_, x_, nullptr, y_, y_dots_ + q * y_step_, max_packs);
  }

  void add_outputs(Index n, Index k, const double* now, const double* dots, double& loss, double& weight,
                   detail::RowSums& sums) {
    const Index outputs = readout_.outputs();
    run_outputs(now, dots);
    const double* target = targets_.y.at(n, k);
    for (Index j = 0; j < outputs; ++j) {
      double w = std::isnan(target[j]) ? 0.0 : 1.0;
      if (targets_.mask_columns > 0 && w > 0) w = targets_.mask.at(n, k)[targets_.mask_columns == 1 ? 0 : j];
      if (!(w > 0)) continue;
      const double error = y_[j * L] - target[j];
      loss += w * error * error;
      weight += w;
      add_row(j, std::sqrt(w), error, now);
      if (waiting_ == capacity_) flush(sums);
    }
  }

  /// Row of sqrt(w) J for output j; the columns of the other outputs' readout weights stay zero.
  void add_row(Index j, double root, double error, const double* now) {
    const auto set = [&](Index p, double value) { rows_[(p / L * capacity_ + waiting_) * L + p % L] = value; };
    for (Index q = 0; q < row_panels_; ++q) {
      double* const row = rows_ + (q * capacity_ + waiting_) * L;
      for (Index l = 0; l < L; ++l) row[l] = q < panels_ ? root * y_dots_[q * y_step_ + j * L + l] : 0.0;
    }
    for (Index p = weights_; p < std::min(size_, panels_ * L); ++p) set(p, 0.0);  // where the start's came along
    const Index after = weights_ + readout_.weights();
    for (Index p = 0; p < start_; ++p) set(after + p, root * at(y_dots_, weights_ + p, j, y_step_));
    if (readout_.there()) {
      const Index h = cell_.hidden(), o = readout_.outputs(), i = cell_.inputs();
      double factor = root;
      with_activation(readout_.activation(), [&](auto row) { factor *= row.slope(y_[j * L]); });
      for (Index c = 0; c < h; ++c) set(weights_ + j * h + c, factor * now[c * L]);
      set(weights_ + o * h + j, factor);
      for (Index c = 0; readout_.direct() && c < i; ++c) set(weights_ + o * (h + 1) + j * i + c, factor * x_[c * L]);
    }
    errors_[waiting_++] = root * error;
  }

  void flush(detail::RowSums& sums) {
    sums.add(rows_, capacity_ * L, waiting_, errors_);
    waiting_ = 0;
  }

  const Cell<double>& cell_;
  const Readout<double>& readout_;
  const Inputs<double>& in_;
  const Targets<double>& targets_;
  std::vector<Entry> entries_;
  double one_ = 1.0;
  Index weights_, start_, size_, panels_, row_panels_, capacity_, tape_step_, y_step_, waiting_ = 0;
  Workspace memory_;
  double *tape_, *x_, *y_;
  Index seed_step_;
  double *seeds_, *dots_, *y_dots_, *rows_, *errors_;
  double *last_ = nullptr, *last_dots_ = nullptr;
};

/// Normal equations of the mean loss over all series, the same for any number of threads. With `each`, sums instead of
/// means, over the weights without the starts, which are every series' own.
inline NormalEquations gauss_newton(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in,
                                    const Targets<double>& targets, bool learns_start, const SeriesEquations* each,
                                    int threads, Interrupt& stop) {
  const Index chunks = std::min(in.series, detail::max_chunks), own_size = cell.weights() + readout.weights();
  learns_start = learns_start || each != nullptr;
  const Index size = own_size + (learns_start ? cell.state() : 0);
  NormalEquations total;
  total.size = each == nullptr ? size : own_size;
  threads = useful_threads(threads, static_cast<double>(size) * detail::operations(cell, readout, in));
  const Index workers = worker_count(chunks, 1, threads);
  PerWorker<Sensitivities> sensitivities(workers);
  std::vector<detail::RowSums> parts(static_cast<std::size_t>(chunks), detail::RowSums(size)),
      alone(static_cast<std::size_t>(each == nullptr ? 0 : workers), detail::RowSums(size));
  std::vector<double> losses(static_cast<std::size_t>(chunks)), weights(static_cast<std::size_t>(chunks));
  parallel_chunks(chunks, 1, threads, stop, [&](Index chunk, Index, Index worker) {
    const auto c = static_cast<std::size_t>(chunk), w = static_cast<std::size_t>(worker);
    Sensitivities& own = sensitivities.of(worker, cell, readout, in, targets, learns_start);
    for (Index n = in.series * chunk / chunks; n < in.series * (chunk + 1) / chunks && !stop.check(); ++n) {
      if (each == nullptr) {
        own.add_series(n, losses[c], weights[c], parts[c], stop);
      } else {
        alone[w].clear();
        own.add_series(n, losses[c], weights[c], alone[w], stop);
        own.write(n, alone[w], *each);
        parts[c].add(alone[w]);
      }
    }
  });
  for (std::size_t c = 0; c < parts.size(); ++c) {
    total.loss += losses[c];
    total.weight += weights[c];
    if (c > 0) parts.front().add(parts[c]);
  }
  const double scale = each == nullptr ? 1.0 / total.weight : 1.0;
  total.loss = each == nullptr ? total.loss / total.weight : total.loss;
  parts.front().write(scale, total);
  return total;
}

/// The whole Jacobian of the outputs, (N, T, outputs, size) at `to`, which holds zeros: for layers below another.
inline void output_jacobian(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in,
                            bool learns_start, double* to, int threads, Interrupt& stop) {
  const Targets<double> none{};
  const Index size = cell.weights() + readout.weights() + (learns_start ? cell.state() : 0);
  threads = useful_threads(threads, static_cast<double>(size) * detail::operations(cell, readout, in));
  PerWorker<Sensitivities> sensitivities(worker_count(in.series, 1, threads));
  parallel_chunks(in.series, 1, threads, stop, [&](Index n, Index, Index worker) {
    Sensitivities& own = sensitivities.of(worker, cell, readout, in, none, learns_start);
    own.write_series(n, to + n * in.steps * readout.outputs() * size, stop);
  });
}

}  // namespace kelman::rnn
