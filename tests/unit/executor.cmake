# SPDX-License-Identifier: Apache-2.0
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
drover_test(unit/executor drover_base PkgConfig::LIBUV)
target_sources(test.unit.executor PRIVATE ${PROJECT_SOURCE_DIR}/agent/executor.c)
target_include_directories(test.unit.executor PRIVATE ${PROJECT_SOURCE_DIR}/agent)
