// SPDX-License-Identifier: BSD-3-Clause
// Products in tiles of registers, for all who multiply matrices.
#include "kelman/linalg/tile.hpp"

namespace kelman::linalg {

template void multiply_tiled(bool, Index, Index, Index, const Operand<double>&, const double*, Index,
                             const Target<double>&) noexcept;
template void multiply_tiled(bool, Index, Index, Index, const Operand<float>&, const float*, Index,
                             const Target<float>&) noexcept;

}  // namespace kelman::linalg
