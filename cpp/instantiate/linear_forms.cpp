// SPDX-License-Identifier: BSD-3-Clause
// The steps of covariances and of means, for all who filter, smooth or differentiate one series at a time.
#include "kelman/linear/forms/univariate.hpp"
#include "kelman/linear/mean.hpp"

namespace kelman::linear {

template Status Univariate<double>::predict(Index, Index) noexcept;
template Status Univariate<float>::predict(Index, Index) noexcept;
template Status Univariate<double>::update(Index, Index, const unsigned char*, const Slot<double>&,
                                           DiffuseSlot<double>*) noexcept;
template Status Univariate<float>::update(Index, Index, const unsigned char*, const Slot<float>&,
                                          DiffuseSlot<float>*) noexcept;

template void Means<double>::predict(Index, Index, const double*, const double*, double*) noexcept;
template void Means<float>::predict(Index, Index, const float*, const float*, float*) noexcept;
template double Means<double>::update(Index, Index, const double*, const double*, const Slot<double>&,
                                      MeanState<double>&, double*) noexcept;
template float Means<float>::update(Index, Index, const float*, const float*, const Slot<float>&, MeanState<float>&,
                                    float*) noexcept;

}  // namespace kelman::linear
