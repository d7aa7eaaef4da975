# Eigen 3.4: from the cmeel-eigen wheel of the build environment, else from the system. Nothing is downloaded.
find_package(Eigen3 3.4 CONFIG QUIET PATH_SUFFIXES cmeel.prefix/share/eigen3/cmake)
if(NOT TARGET Eigen3::Eigen)
  # A build without isolation: the wheel lies in the site-packages of the Python that builds.
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import sysconfig; print(sysconfig.get_path('purelib'))"
    OUTPUT_VARIABLE site_packages
    OUTPUT_STRIP_TRAILING_WHITESPACE
  )
  find_package(Eigen3 3.4 CONFIG QUIET HINTS "${site_packages}/cmeel.prefix/share/eigen3/cmake")
endif()
if(NOT TARGET Eigen3::Eigen)
  message(
    FATAL_ERROR
    "Eigen 3.4 was not found. It is a build requirement (`cmeel-eigen>=3.4.1,<4` on the package index); "
    "without build isolation install that wheel, or the system's package (Debian: libeigen3-dev), "
    "or set Eigen3_DIR to the folder of Eigen3Config.cmake."
  )
endif()
message(STATUS "Eigen ${Eigen3_VERSION}: ${Eigen3_DIR}")
