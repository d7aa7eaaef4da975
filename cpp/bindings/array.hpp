// SPDX-License-Identifier: BSD-3-Clause
// numpy arrays <-> plain views: every check of memory, and nothing but checks. Nothing is converted, nothing is copied.
//
// An array has at most two leading axes (series, time), whose strides may be anything including 0, and inner axes,
// which must be C-contiguous. A leading axis of length 1 stands for any length (stride 0).
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kelman/core/field.hpp"

namespace kelman::bindings {

namespace py = pybind11;

/// Lengths of some axes, in order.
using Lengths = std::initializer_list<Index>;

/// "(3, 4)": a shape as Python writes it.
inline std::string shape_text(const Index* lengths, std::size_t count) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < count; ++axis) {
    text += std::to_string(lengths[axis]);
    text += (axis + 1 < count) ? ", " : (count == 1 ? "," : "");
  }
  return text + ")";
}

/// The numpy type number of the supported element types.
template <class T>
[[nodiscard]] int type_number() {
  static const int number = py::dtype::of<std::remove_const_t<T>>().num();
  return number;
}

/// The array behind `object`, or a TypeError that names the argument.
inline py::array as_array(py::handle object, const char* name) {
  if (!py::isinstance<py::array>(object)) {
    const std::string got = py::str(py::type::handle_of(object).attr("__name__"));
    throw py::type_error(std::string(name) + ": expected a numpy array, got " + got);
  }
  return py::reinterpret_borrow<py::array>(object);
}

/// Checks element type, byte order and alignment.
template <class T>
void check_elements(const py::array& array, const char* name) {
  const py::dtype dtype = array.dtype();
  const char order = dtype.byteorder();
  if (dtype.num() != type_number<T>() || (order != '=' && order != '|')) {
    const std::string expected = py::str(py::dtype::of<std::remove_const_t<T>>());
    const std::string got = py::str(dtype);
    throw py::type_error(std::string(name) + ": expected dtype " + expected + ", got " + got);
  }
  if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) {
    throw py::value_error(std::string(name) + ": memory is not aligned to its element size");
  }
}

/// Checks rank and shape, and that the inner axes are C-contiguous; gives the view with its strides in elements.
template <class T>
Field<T> checked_view(const py::array& array, const char* name, Lengths lead, Lengths inner) {
  const auto rank = static_cast<std::size_t>(array.ndim());
  std::array<Index, 6> expected{};
  std::size_t axes = 0;
  for (const Index length : lead) {
    expected[axes++] = length;
  }
  for (const Index length : inner) {
    expected[axes++] = length;
  }
  bool fits = rank == axes;
  for (std::size_t axis = 0; fits && axis < rank; ++axis) {
    const Index length = array.shape(static_cast<py::ssize_t>(axis));
    fits = length == expected[axis] || (axis < lead.size() && length == 1);
  }
  if (!fits) {
    throw py::value_error(std::string(name) + ": expected shape " + shape_text(expected.data(), axes) + ", got " +
                          shape_text(array.shape(), rank));
  }
  const auto item = static_cast<Index>(sizeof(T));
  Index contiguous = item;
  for (std::size_t axis = rank; axis-- > lead.size();) {
    const auto at = static_cast<py::ssize_t>(axis);
    if (array.shape(at) > 1 && array.strides(at) != contiguous && array.size() > 0) {
      throw py::value_error(std::string(name) + ": the last " + std::to_string(inner.size()) +
                            " axes must be C-contiguous");
    }
    contiguous *= array.shape(at);
  }
  std::array<Index, 2> strides{};
  for (std::size_t axis = 0; axis < lead.size() && axis < strides.size(); ++axis) {
    const auto at = static_cast<py::ssize_t>(axis);
    const Index stride = array.shape(at) > 1 ? array.strides(at) : 0;
    if (stride % item != 0) {
      throw py::value_error(std::string(name) + ": strides must be multiples of the element size");
    }
    strides[axis] = stride / item;
  }
  return {static_cast<T*>(const_cast<void*>(array.data())), strides[0], strides[1]};
}

/// A read-only view of an input array with axes `lead` (series, time; may be broadcast) and `inner` (contiguous).
template <class T>
Field<const T> input(py::handle object, const char* name, Lengths lead, Lengths inner) {
  const py::array array = as_array(object, name);
  check_elements<const T>(array, name);
  return checked_view<const T>(array, name, lead, inner);
}

/// As `input`, and a null field for None.
template <class T>
Field<const T> optional_input(py::handle object, const char* name, Lengths lead, Lengths inner) {
  return object.is_none() ? Field<const T>{} : input<T>(object, name, lead, inner);
}

/// Checks that `array` is a writable C-contiguous output of exactly this shape; the view has no strides set.
template <class T>
Field<T> checked_output(const py::array& array, const char* name, const std::vector<Index>& shape) {
  check_elements<T>(array, name);
  const auto rank = static_cast<std::size_t>(array.ndim());
  if (!std::equal(array.shape(), array.shape() + rank, shape.begin(), shape.end())) {
    throw py::value_error(std::string(name) + ": expected output of shape " + shape_text(shape.data(), shape.size()) +
                          ", got " + shape_text(array.shape(), rank));
  }
  if (!array.writeable()) {
    throw py::value_error(std::string(name) + ": output array is read-only");
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw py::value_error(std::string(name) + ": output array must be C-contiguous");
  }
  return {static_cast<T*>(const_cast<void*>(array.data())), 0, 0};
}

/// A writable view of the C-contiguous output array `object`, of shape (*lead, *inner).
template <class T>
Field<T> output(py::handle object, const char* name, Lengths lead, Lengths inner) {
  std::vector<Index> shape(lead);
  shape.insert(shape.end(), inner.begin(), inner.end());
  const py::array array = as_array(object, name);
  checked_output<T>(array, name, shape);
  return checked_view<T>(array, name, lead, inner);
}

/// First and one-past-last byte that an array touches.
struct Extent {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  const char* name = "";

  Extent(py::handle object, const char* called) : name(called) {
    if (object.is_none()) {
      return;
    }
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (array.size() == 0) {
      return;
    }
    std::intptr_t low = 0;
    std::intptr_t high = 0;
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
      const std::intptr_t reach = array.strides(axis) * (array.shape(axis) - 1);
      (reach < 0 ? low : high) += reach;
    }
    const auto base = reinterpret_cast<std::intptr_t>(array.data());
    begin = static_cast<std::uintptr_t>(base + low);
    end = static_cast<std::uintptr_t>(base + high + array.itemsize());
  }

  [[nodiscard]] bool overlaps(const Extent& other) const noexcept { return begin < other.end && other.begin < end; }
};

/// Refuses outputs that share memory with an input or with each other.
inline void check_overlap(const std::vector<Extent>& inputs, const std::vector<Extent>& outputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    for (const Extent& other : inputs) {
      if (outputs[i].overlaps(other)) {
        throw py::value_error(std::string(outputs[i].name) + ": output shares memory with input " + other.name);
      }
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (outputs[i].overlaps(outputs[j])) {
        throw py::value_error(std::string(outputs[i].name) + ": output shares memory with output " + outputs[j].name);
      }
    }
  }
}

/// A fresh C-contiguous array. A large one starts on a cache line, so that kernels may write it past the caches; numpy
/// owns its memory in any case.
template <class T>
py::array_t<T> fresh(std::vector<Index> shape) {
  constexpr Index large = Index(1) << 20;
  constexpr std::uintptr_t line = 64;
  Index bytes = sizeof(T);
  for (const Index length : shape) {
    bytes *= length;
  }
  if (bytes < large) {
    return py::array_t<T>(std::move(shape));
  }
  auto* const memory = new py::array_t<unsigned char>(bytes + static_cast<Index>(line));
  const py::capsule owner(memory, [](void* held) { delete static_cast<py::array_t<unsigned char>*>(held); });
  const auto begin = reinterpret_cast<std::uintptr_t>(memory->mutable_data());
  auto* const aligned = reinterpret_cast<T*>((begin + line - 1) / line * line);
  return py::array_t<T>(std::move(shape), aligned, owner);
}

/// A read-only view of `array`, whose first axis has length 1, as if it had `length` equal entries along it.
inline py::array broadcast(const py::array& array, Index length) {
  std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
  std::vector<py::ssize_t> strides(array.strides(), array.strides() + array.ndim());
  shape[0] = length;
  strides[0] = 0;
  py::array view(array.dtype(), std::move(shape), std::move(strides), array.data(), array);
  view.attr("setflags")(py::arg("write") = false);
  return view;
}

}  // namespace kelman::bindings
