// SPDX-License-Identifier: BSD-3-Clause
// The sizes of a problem, in the letters used everywhere.
#pragma once

#include "kelman/core/scalar.hpp"

namespace kelman {

/// Sizes of a linear state-space problem. All are known at run time.
struct Dims {
  Index n = 0;  ///< states
  Index m = 0;  ///< measured values
  Index p = 0;  ///< inputs
  Index T = 0;  ///< time steps
  Index N = 0;  ///< series
};

}  // namespace kelman
