// SPDX-License-Identifier: BSD-3-Clause
// The functions of packs on arrays, so that their errors can be measured.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>

#include "array.hpp"
#include "kelman/rnn/activation.hpp"

namespace py = pybind11;

namespace kelman::rnn {

extern template void activate(Activation, double*, Index);
extern template void activate(Activation, float*, Index);

}  // namespace kelman::rnn

namespace kelman::bindings {

namespace {

/// Calls f with the function of this name, which takes numbers and packs.
template <class F>
void with_function(const std::string& name, F&& f) {
  if (name == "exp") return f([](const auto& v) { return math::exp(v); });
  if (name == "tanh") return f([](const auto& v) { return math::tanh(v); });
  if (name == "sigmoid") return f([](const auto& v) { return math::sigmoid(v); });
  if (name == "softplus") return f([](const auto& v) { return math::softplus(v); });
  if (name == "one_minus_exp_of_negative") return f([](const auto& v) { return math::one_minus_exp_of_negative(v); });
  throw py::value_error("function: unknown name " + name);
}

/// out = f(in) for n numbers, some registers at a time; `n` need not fill a register.
template <class Scalar, class F>
void each_number(Index n, F&& f, const Scalar* in, Scalar* out) {
  using V = Pack<Scalar, 2 * register_lanes<Scalar>>;
  Index k = 0;
  for (; k + lanes<V> <= n; k += lanes<V>) store(out + k, f(load<V>(in + k)));
  for (; k < n; ++k) out[k] = f(in[k]);
}

template <class Scalar>
py::object elementwise(const std::string& name, const py::array& x) {
  const Index count = x.ndim() == 1 ? x.shape(0) : -1;
  const Field<const Scalar> from = input<Scalar>(x, "x", {}, {count});
  py::array_t<Scalar> out = fresh<Scalar>({count});
  const auto* const activation = std::find(rnn::activation_names.begin(), rnn::activation_names.end(), name);
  Index done = 0;
  if (activation != rnn::activation_names.end()) {  // by the code of the networks as far as registers are filled
    done = count / register_lanes<Scalar> * register_lanes<Scalar>;
    std::copy_n(from.data, done, out.mutable_data());
    rnn::activate(rnn::Activation(activation - rnn::activation_names.begin()), out.mutable_data(), done);
  }
  with_function(
      name, [&](auto function) { each_number(count - done, function, from.data + done, out.mutable_data() + done); });
  return out;
}

}  // namespace

void register_rnn_math(py::module_& m) {
  m.def(
      "elementwise",
      [](const std::string& function, const py::object& x) {
        const py::array array = as_array(x, "x");
        return array.dtype().num() == type_number<float>() ? elementwise<float>(function, array)
                                                           : elementwise<double>(function, array);
      },
      py::arg("function"), py::arg("x"),
      "exp, tanh, sigmoid, softplus or one_minus_exp_of_negative (of numbers >= 0) of a vector, as the networks use "
      "them.");
}

}  // namespace kelman::bindings
