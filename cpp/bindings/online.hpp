// SPDX-License-Identifier: BSD-3-Clause
// The filter online as the boundary sees it, without its precision.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings/quick_call.hpp"
#include "kelman/core/dims.hpp"

namespace kelman::bindings {

namespace py = pybind11;

/// The handle behind a `kelman.Stepper`: N series on their way through time.
class OnlineHandle : public QuickCall {
 public:
  /// How a step ended.
  enum class Taken {
    well,     ///< nothing to report
    trouble,  ///< a series failed in this step, or got an impossible measurement: `state` tells which
    not_yet,  ///< not taken: another thread is in a step
  };

  /// A call for arrays that need no conversion; `self` is asked to look where a series got into trouble.
  PyObject* call(PyObject* self, PyObject* args, PyObject* kwargs, int axes) final;

  /// Sizes; T = 0 where the model is constant, else the number of steps it has.
  [[nodiscard]] virtual const Dims& dims() const noexcept = 0;
  /// numpy's type number of all arrays.
  [[nodiscard]] virtual int type() const noexcept = 0;
  [[nodiscard]] virtual Index steps() const noexcept = 0;
  /// Whether z (N×m) holds no infinity, and u (N×p; may be null) finite numbers only.
  [[nodiscard]] virtual bool acceptable(const void* z, const void* u) const noexcept = 0;
  /// Takes a step from memory that was checked: z (N×m), u (N×p) or null, which series were measured (N) or null for
  /// all, and where the means go (N×n).
  virtual Taken step(const void* z, const void* u, const unsigned char* measured, void* mean) = 0;
  /// Roughly how many operations a step costs.
  [[nodiscard]] virtual double work() const noexcept = 0;

  // the same for arrays of any origin, and what is read between steps
  virtual bool step_checked(const py::object& z, const py::object& u, const py::object& mean, const py::object& loglik,
                            const py::object& measured) = 0;
  [[nodiscard]] virtual py::dict state() const = 0;
};

/// Registers `StepperBase`, the type below steppers that makes their calls cheap.
void register_online_call(py::module_& m);

}  // namespace kelman::bindings
