# SPDX-License-Identifier: Apache-2.0
# Framed messages on a unix stream socket, for operators on this machine.
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
add_library(drover_local STATIC local.c)
target_include_directories(drover_local PUBLIC .)
target_link_libraries(drover_local PUBLIC drover_codec drover_base PkgConfig::LIBUV
    PRIVATE drover_flags)
