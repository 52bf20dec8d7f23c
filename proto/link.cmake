# SPDX-License-Identifier: Apache-2.0
# Datagrams between agents and a controller.
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(NANOMSG REQUIRED IMPORTED_TARGET nanomsg)
add_library(drover_link STATIC link.c)
target_include_directories(drover_link PUBLIC .)
target_link_libraries(drover_link PUBLIC drover_base PkgConfig::LIBUV
    PRIVATE PkgConfig::NANOMSG drover_flags)
