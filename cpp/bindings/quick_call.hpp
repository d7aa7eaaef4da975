// SPDX-License-Identifier: BSD-3-Clause
// What the calls of steppers have in common: the short way from Python into a handle, and one thread at a time.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <atomic>
#include <stdexcept>

#include "kelman/core/dims.hpp"

namespace kelman::bindings {

namespace py = pybind11;

/// From this many operations on, other Python threads may run during a step.
constexpr double long_step = 2e5;

/// A handle that takes a step straight from the call slot of a `StepperBase`.
class QuickCall {
 public:
  QuickCall() = default;
  QuickCall(const QuickCall&) = delete;
  QuickCall& operator=(const QuickCall&) = delete;
  virtual ~QuickCall() = default;

  /// The result of `self(*args, **kwargs)`, or null without an error set where the long way has to decide. With `axes`
  /// 2 the arrays have a series axis.
  virtual PyObject* call(PyObject* self, PyObject* args, PyObject* kwargs, int axes) = 0;

  static constexpr const char* capsule_name = "kelman.QuickCall";
  /// What `attach` looks for: the handle as any module of kelman understands it.
  [[nodiscard]] py::object quick_call() { return py::capsule(static_cast<QuickCall*>(this), capsule_name); }
};

inline constexpr const char* in_use_text = "this stepper is in use by another thread";

/// Refuses that two threads use one handle at the same time.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& busy) : busy_(busy), mine_(!busy.exchange(true, std::memory_order_acquire)) {}
  ~Turn() {
    if (mine_) {
      busy_.store(false, std::memory_order_release);
    }
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  [[nodiscard]] bool mine() const noexcept { return mine_; }

  void require() const {
    if (!mine_) {
      throw std::runtime_error(in_use_text);
    }
  }

 private:
  std::atomic<bool>& busy_;
  bool mine_;
};

/// The memory of a C-contiguous aligned array of this type, with the shape (rows, columns) or (columns); null for
/// anything else. Without rows (`axes` 1) or without columns (`columns` < 0) that axis is not there.
inline void* plain(PyObject* object, int type, int axes, Index rows, Index columns) {
  const auto& numpy = py::detail::npy_api::get();
  if (Py_TYPE(object) != numpy.PyArray_Type_) {
    return nullptr;
  }
  const auto* const array = py::detail::array_proxy(object);
  constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  const auto* const dtype = py::detail::array_descriptor_proxy(array->descr);
  if (array->nd != axes || (array->flags & wanted) != wanted || dtype->type_num != type ||
      (dtype->byteorder != '=' && dtype->byteorder != '|')) {
    return nullptr;
  }
  const bool fits = columns < 0 ? array->dimensions[0] == rows
                                : array->dimensions[axes - 1] == columns && (axes == 1 || array->dimensions[0] == rows);
  return fits ? array->data : nullptr;
}

/// A fresh array (columns), or (rows, columns) where `axes` is 2; null with an error set where there is no memory.
inline PyObject* fresh_rows(int type, int axes, Index rows, Index columns) {
  const auto& numpy = py::detail::npy_api::get();
  const std::array<Py_intptr_t, 2> shape{static_cast<Py_intptr_t>(rows), static_cast<Py_intptr_t>(columns)};
  return numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, numpy.PyArray_DescrFromType_(type), axes,
                                     shape.data() + (2 - axes), nullptr, nullptr, 0, nullptr);
}

/// `step(to)` into a fresh array, without the GIL where it takes long; null with an error set where there is no memory.
/// What the step returned goes to `taken`.
template <class Taken, class Step>
PyObject* into_fresh(int type, int axes, Index rows, Index columns, double work, Taken& taken, const Step& step) {
  PyObject* const result = fresh_rows(type, axes, rows, columns);
  if (result == nullptr) {
    return nullptr;
  }
  void* const to = py::detail::array_proxy(result)->data;
  try {
    if (work > long_step) {
      const py::gil_scoped_release release;
      taken = step(to);
    } else {
      taken = step(to);
    }
  } catch (const std::bad_alloc&) {
    Py_DECREF(result);
    return PyErr_NoMemory();
  }
  return result;
}

}  // namespace kelman::bindings
