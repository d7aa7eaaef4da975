// SPDX-License-Identifier: BSD-3-Clause
// One step of one series of a regular model, on the triangle of its covariance: the arithmetic of lanes/recursion.hpp.
#pragma once

#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// What a step is given: the transition, and the observed components, decorrelated.
template <Real T>
struct StepInput {
  const T* A = nullptr;  ///< (n×n); null: the state is that of the first measurement already
  const T* Q = nullptr;  ///< (n×n)
  const T* d = nullptr;  ///< b + B u (n), or null
  Index count = 0;
  const T* rows = nullptr;   ///< H~ (count×n)
  const T* noise = nullptr;  ///< (count)
  const T* y = nullptr;      ///< (count)
};

/// Takes x (n) and the lower triangle of P to the step; returns its contribution to the log-likelihood, and clears
/// `good` where a variance is not positive.
template <Real T>
using OneStep = T (*)(const StepInput<T>& input, T* x, T* P, bool& good);

/// The step for n states, or null if there is none for so many; defined in the library.
template <Real T>
[[nodiscard]] OneStep<T> one_step_of(Index n) noexcept;

/// Whether the steps of a problem are of this kind: a constant regular model; defined in the library.
template <Real T>
[[nodiscard]] bool takes_one_steps(const FilterProblem<T>& problem);

}  // namespace kelman::linear
