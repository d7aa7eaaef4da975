// SPDX-License-Identifier: BSD-3-Clause
// The gradient from an exactly diffuse start: the first steps with care, the others in lanes.
//
// Each series runs with care for 4, 8, 16, ... steps, until nothing is diffuse any more. The rest is a problem of its
// own that starts from the moments there, later by as many steps; series with the same number of first steps make one
// such problem. Its derivatives r and G by that start are the adjoint r, N = r r' - 2 G after the first steps, which
// are then gone back over with care. The number of first steps of a series depends on its own measurements only.
#pragma once

#include "kelman/linear/form_gradient.hpp"

namespace kelman::linear {

/// Where the first steps of every series end.
template <Real Scalar>
struct Seams {
  Seams(const FilterProblem<Scalar>& problem, Workspace& memory)
      : steps(memory.take<Index>(problem.model.dims.N)),
        chosen(memory.take<Index>(problem.model.dims.N)),
        lengths(memory.take<std::int64_t>(problem.model.dims.N)) {
    const auto [n, m, p, T, N] = problem.model.dims;
    mean = {memory.take<Scalar>(N * n), n, 0};
    cov = {memory.take<Scalar>(N * n * n), n * n, 0};
    by_mean = {memory.take<Scalar>(N * n), n, 0};
    by_cov = {memory.take<Scalar>(N * n * n), n * n, 0};
  }

  Index* steps;           ///< first steps, 0: all of them
  Index* chosen;          ///< the series of one problem
  std::int64_t* lengths;  ///< of the rest of each series
  Field<Scalar> mean, cov, by_mean, by_cov;
};

/// The field from step `steps` on.
template <class T>
[[nodiscard]] Field<T> later(const Field<T>& field, Index steps) noexcept {
  return field ? Field<T>{field.data + steps * field.time, field.series, field.time} : field;
}

/// Entry k of a field as a field without time.
template <class T>
[[nodiscard]] Field<T> entry_at(const Field<T>& field, Index k) noexcept {
  return field ? Field<T>{field.data + k * field.time, field.series, 0} : field;
}

/// The problem after the first `steps` of the chosen series.
template <Real Scalar>
[[nodiscard]] FilterProblem<Scalar> rest_of(const FilterProblem<Scalar>& problem, const Seams<Scalar>& seams,
                                            Index steps, Index count) noexcept {
  FilterProblem<Scalar> rest = problem;
  Model<Scalar>& model = rest.model;
  model.dims.T -= steps;
  for (Field<const Scalar>* field :
       {&model.A, &model.H, &model.Q, &model.R, &model.B, &model.D, &model.b, &model.c, &rest.data.z, &rest.data.u}) {
    *field = later(*field, steps);
  }
  rest.data.u_before = entry_at(problem.data.u, steps - 1);
  rest.data.lengths = {seams.lengths, 1, 0};
  rest.start = {};
  rest.start.before_first = true;
  rest.start.mean = {seams.mean.data, seams.mean.series, 0};
  rest.start.cov = {seams.cov.data, seams.cov.series, 0};
  rest.start.noise_cov = entry_at(problem.model.Q, steps - 1);
  rest.shared = false;
  rest.chosen = seams.chosen;
  rest.chosen_count = count;
  return rest;
}

/// Where its derivatives go: those by its start to the seams, and that by the noise before it to Q.
template <Real Scalar>
[[nodiscard]] GradientResult<Scalar> rest_of(const GradientResult<Scalar>& result, const Seams<Scalar>& seams,
                                             Index steps) noexcept {
  GradientResult<Scalar> rest = result;
  for (Field<Scalar>* field : {&rest.A, &rest.H, &rest.Q, &rest.R, &rest.B, &rest.D, &rest.b, &rest.c}) {
    *field = later(*field, steps);
  }
  rest.mean = seams.by_mean;
  rest.cov = seams.by_cov;
  rest.noise_cov = entry_at(result.Q, steps - 1);
  rest.inf = rest.noise_mean = {};
  return rest;
}

/// The gradient of all series of a problem whose rest, once nothing is diffuse any more, goes by `gradient`; the result
/// is zero on entry.
template <Form F>
void run_diffuse_gradient(const FilterProblem<typename F::scalar>& problem,
                          const GradientResult<typename F::scalar>& result, bool summed, int threads, Interrupt& stop) {
  using Scalar = typename F::scalar;
  const Dims& dims = problem.model.dims;
  constexpr double few = 16;
  Workspace memory;
  Seams<Scalar> seams(problem, memory);
  GradientResult<Scalar> nothing = result;
  for (Field<Scalar>* field : summable(nothing)) {
    *field = {};
  }
  each_series<F>(problem, nothing, false, few, threads, stop, [&](FormGradient<F>& worker, Index i) {
    seams.steps[i] = worker.settle(i, seams.mean.at(i), seams.cov.at(i), stop);
  });
  for (Index steps = 4; 2 * steps <= dims.T && !stop.requested(); steps *= 2) {
    Index count = 0;
    for (Index i = 0; i < dims.N; ++i) {
      seams.lengths[i] = 0;
      if (seams.steps[i] == steps) {
        seams.chosen[count++] = i;
        seams.lengths[i] = static_cast<std::int64_t>(problem.data.length(i, dims.T) - steps);
      }
    }
    if (count > 0) {
      gradient(rest_of(problem, seams, steps, count), rest_of(result, seams, steps), summed, threads, stop);
    }
  }
  each_series<F>(problem, result, summed, few, threads, stop, [&](FormGradient<F>& worker, Index i) {
    if (seams.steps[i] == 0) {
      worker.run(i, stop);
    } else {
      worker.run_first(i, seams.steps[i], seams.by_mean.at(i), seams.by_cov.at(i), stop);
    }
  });
}

}  // namespace kelman::linear
